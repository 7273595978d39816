"""The words of README and docs/ against the commands, recipes, targets and files there are."""

import dataclasses
import json
import re
import runpy
import tomllib
from pathlib import Path

import pytest

from kaggle_cifar import __version__, cli, recipes
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.recipes.validation import from_json

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("[!.]*/README.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RAW_FILES = PROJECT["urls"]["Source"].replace("github", "raw.githubusercontent", 1) + "/main/"
write_help = runpy.run_path(str(DOCS / "write_help.py"))
draw_layers = runpy.run_path(str(DOCS / "draw_layers.py"))


def name_of(page):
    return str(page.relative_to(ROOT))


def command_lines(page) -> list[tuple[str, str]]:
    """Return each command and its arguments, as a page shows them."""
    shown = r"^ +(?:!|\S*/bin/)?kaggle-cifar (?:--\S+ \S+ )*(\w+)(.*)$"
    return re.findall(shown, page.read_text(), re.MULTILINE)


ALL_COMMAND_LINES = [line for page in PAGES for line in command_lines(page)]


def test_the_help_in_the_page_of_commands_is_that_of_the_commands():
    page = (DOCS / "commands.md").read_text()
    assert page == write_help["with_current_help"](page), "bring it up: python docs/write_help.py"
    shown = write_help["BLOCK"].findall(page)
    assert shown[0] == "[OPTIONS]"  # the help of all
    assert sorted(shown[1:]) == sorted(cli.cli.commands)


def test_changed_help_is_noticed():
    page = (DOCS / "commands.md").read_text()
    changed = page.replace("verify and extract the", "and keep the")
    assert changed != page == write_help["with_current_help"](changed)


def test_the_page_of_commands_has_an_example_of_each_and_every_target_of_make():
    page = DOCS / "commands.md"
    assert {command for command, _ in command_lines(page)} == set(cli.cli.commands)
    for target in re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert f"`make {target}`" in page.read_text()


@pytest.mark.parametrize(("command", "arguments"), ALL_COMMAND_LINES)
def test_every_command_line_is_one_that_exists(command, arguments):
    options = re.findall(r"(?<!\S)(--?[a-z-]+)", arguments.partition("#")[0])
    parameters = cli.cli.commands[command].params
    assert set(options) <= {name for p in parameters for name in (*p.opts, *p.secondary_opts)}


def test_the_page_of_recipes_has_a_line_for_each():
    listed = re.findall(
        r"^\| `([\w-]+)`(?: \(default\))? \|", (DOCS / "recipes.md").read_text(), re.M
    )
    assert set(listed) == set(recipes.RECIPES)
    assert f"| `{recipes.DEFAULT}` (default) |" in (DOCS / "recipes.md").read_text()


def test_every_key_of_a_recipe_is_explained():
    explained = re.findall(r"^\| `(\w+)` \|", (DOCS / "own-recipe.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(field.name for field in dataclasses.fields(Recipe))


def test_the_recipes_shown_are_recipes():
    shown = re.findall(r"^    \{\n.*?^    \}\n", (DOCS / "own-recipe.md").read_text(), re.M | re.S)
    assert len(shown) == 2
    for text in shown:
        assert from_json(Recipe, json.loads(text)).name not in recipes.RECIPES


def anchors_of(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_or_heading_that_is_there(page):
    text = page.read_text()
    links = re.findall(r'\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"', text)
    for link in filter(None, (part for pair in links for part in pair)):
        base = ROOT if link.startswith(RAW_FILES) else page.parent
        name, _, anchor = link.removeprefix(RAW_FILES).partition("#")
        if name.startswith("https://"):
            continue
        target = (base / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_pictures_of_the_readme_show_on_pypi():
    """PyPI shows pictures with absolute links only."""
    text = (ROOT / PROJECT["readme"]).read_text()
    pictures = re.findall(r'!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"', text)
    assert len(pictures) == 3
    for picture in ("".join(pair) for pair in pictures):
        assert picture.startswith(RAW_FILES)
        assert (ROOT / picture.removeprefix(RAW_FILES)).is_file()


def test_no_page_or_picture_is_forgotten():
    text = "".join(page.read_text() for page in PAGES)
    for file in [*DOCS.glob("*.md"), *DOCS.glob("pictures/*")]:
        assert f"{file.name}" in text, file


def test_the_changes_name_this_version():
    assert __version__ in (ROOT / "CHANGELOG.md").read_text()


def test_the_picture_of_the_layers_is_the_contract_that_lint_checks():
    page = (DOCS / "architecture.md").read_text()
    assert page == draw_layers["page_with_layers"](page), "run python docs/draw_layers.py"
    assert page.count("-->") > 15
