"""The pages in Chromium: complete, self-contained, sortable, accessible, on phones too.

Without Chromium, the tests are skipped, or fail if KAGGLE_CIFAR_NEED_BROWSER is set, as in CI.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from kaggle_cifar.data.inspection import inspect
from kaggle_cifar.report.report import report
from kaggle_cifar.submission.record import update_record
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.helpers.small_runs import write_run, write_test_probabilities

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ("index.html", "good/report.html", "good~bad/report.html")
LONG_NAME = "a-run-with-a-name-longer-than-most,learning_rate=0.003,optimizer=adam"
NARROW, WIDE = 360, 1400  # pixels


def find_browser() -> str:
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found and os.environ.get("KAGGLE_CIFAR_NEED_BROWSER"):
        pytest.fail("Chromium is not installed. Run apt-get install chromium.")
    if not found:
        pytest.skip(f"needs a browser, one of {', '.join(BROWSERS)}")
    return found[0]


@pytest.fixture(scope="module")
def browser():
    executable = find_browser()
    with sync_playwright() as playwright:
        # Containers, where tests often run, offer no sandbox.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def runs_folder(tmp_path_factory) -> Path:
    """Pages of a complete run and of one with gaps, an index with long names."""
    project = project_in(tmp_path_factory.mktemp("pages"))
    write_training_data(project, 400)
    write_test_data(project, range(1, 61))
    inspect(project)
    good, bad = write_run(project, "good", 0.5), write_run(project, "bad", 0.4, seed=1)
    write_run(project, f"{LONG_NAME}-1")
    write_run(project, f"{LONG_NAME}-2").metrics_file.unlink()
    write_test_probabilities(good, range(1, 61))
    project.submissions.mkdir()
    (project.submissions / "good.csv").write_text("id,label\n")
    update_record(project.submissions / "good.csv", runs=["good"], public_score="0.5")
    report(project, [good, bad])
    return project.runs


@pytest.fixture
def open_page(browser, runs_folder):
    """Open a page; it must request nothing else and write nothing to the console."""
    messages, requests, contexts = [], [], []

    def open_page(name, width=WIDE, scheme="light"):
        viewport = {"width": width, "height": 800}
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((runs_folder / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


@pytest.mark.parametrize("name", PAGES)
def test_page_shows_every_image_and_figure(open_page, name):
    page = open_page(name)
    widths = page.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
    assert all(width > 0 for width in widths)
    heights = page.eval_on_selector_all(
        "figure svg", "figures => figures.map(f => f.getBoundingClientRect().height)"
    )
    assert heights and all(height > 100 for height in heights)
    if name == "good/report.html":
        assert len(widths) > 50 and len(heights) == 8


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("name", PAGES)
def test_page_does_not_scroll_sideways(open_page, name, width):
    page = open_page(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Only a box with its own scroll bar may be wider.
    outside = page.evaluate(
        """width => [...document.querySelectorAll("body *")]
            .filter(element => !element.closest(".scroll, pre, svg, .hidden"))
            .filter(element => element.getBoundingClientRect().right > width + 0.5)
            .map(element => element.outerHTML.slice(0, 80))""",
        width,
    )
    assert outside == []


@pytest.mark.parametrize("name", PAGES)
def test_page_cuts_off_no_column_of_a_table(open_page, name):
    page = open_page(name)
    cut = page.eval_on_selector_all(
        ".scroll",
        """boxes => boxes.filter(box => box.scrollWidth > box.clientWidth)
            .map(box => box.getAttribute("aria-label"))""",
    )
    assert cut == []


@pytest.mark.parametrize("name", PAGES)
def test_page_breaks_no_option_within_a_word(open_page, name):
    page = open_page(name, NARROW)
    lines = page.eval_on_selector_all(
        "code span", "words => words.map(word => word.getClientRects().length)"
    )
    assert lines and set(lines) == {1}


@pytest.mark.parametrize("name", PAGES)
def test_page_cuts_off_no_text_of_a_figure(open_page, name):
    page = open_page(name)
    cut = page.evaluate(
        """() => [...document.querySelectorAll("figure svg text")].filter(text => {
            const box = text.getBoundingClientRect();
            const frame = text.closest("svg").getBoundingClientRect();
            return box.left < frame.left - 1 || box.right > frame.right + 1
                || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
        }).map(text => text.textContent)"""
    )
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible(open_page, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(open_page(name, scheme=scheme)).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def column(page, title, number):
    return page.eval_on_selector_all(
        f"[aria-label='{title}'] tbody tr td:nth-child({number})",
        "cells => cells.map(cell => cell.textContent)",
    )


def test_table_sorts_by_click(open_page):
    page = open_page("good/report.html")
    header = page.locator("[aria-label='Each class'] th").nth(3)
    header.locator("button").click()
    recalls = [float(text) for text in column(page, "Each class", 4)]
    assert recalls == sorted(recalls) and len(recalls) == 10
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").click()
    assert [float(text) for text in column(page, "Each class", 4)] == sorted(recalls)[::-1]
    assert header.get_attribute("aria-sort") == "descending"
    names = page.locator("[aria-label='Each class'] th").nth(0)
    names.locator("button").click()
    assert column(page, "Each class", 1) == sorted(column(page, "Each class", 1))
    assert header.get_attribute("aria-sort") is None


def test_table_sorts_by_keyboard_with_empty_cells_last(open_page):
    page = open_page("index.html")
    score = page.locator("[aria-label='Runs'] th button").nth(9)
    for order in ("ascending", "descending"):
        score.focus()
        page.keyboard.press("Enter")
        assert score.locator("..").get_attribute("aria-sort") == order
        assert column(page, "Runs", 10) == ["0.5", "", "", ""]


def test_figures_have_the_colours_of_the_page(open_page):
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill]"
    script = (
        f"() => {{ const text = document.querySelector('figure svg text'); return {colours}; }}"
    )
    light, dark = (
        open_page("good/report.html", scheme=scheme).evaluate(script)
        for scheme in ("light", "dark")
    )
    assert light[0] != dark[0] and light[1] != dark[1]


def test_page_is_small_and_prints(open_page, runs_folder):
    assert (runs_folder / "good/report.html").stat().st_size < 5_000_000
    page = open_page("good/report.html", scheme="dark")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
