"""Hooks for MkDocs: pages from outside docs/, and links that work on the site and on GitHub."""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# The page on the site, and the file in the repository that it shows.
PAGES = {
    "index.md": "README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
SOURCES = {source: page for page, source in PAGES.items()}
LINK = re.compile(r'(?P<before>\]\(|(?:src|srcset|href)=")(?P<target>[^)"\s]+)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    for page, source in PAGES.items():
        path = posixpath.join(posixpath.dirname(config.config_file_path), source)
        files.append(File.generated(config, page, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point each link to its page on the site, or else to the repository."""
    uri = page.file.src_uri
    # README has absolute links to its pictures, because PyPI shows no others.
    raw_files = f"{config.extra['repository']}/main/".replace("github", "raw.githubusercontent", 1)
    folder = posixpath.dirname(PAGES.get(uri, f"docs/{uri}"))

    def on_site(match: re.Match[str]) -> str:
        link, _, anchor = match["target"].removeprefix(raw_files).partition("#")
        if not link or ":" in link:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, link))
        if path in SOURCES or path.startswith("docs/"):
            shown = SOURCES.get(path, path.removeprefix("docs/"))
            target = posixpath.relpath(shown, posixpath.dirname(uri) or ".")
        else:
            target = f"{config.extra['repository']}/blob/main/{path}"
        return match["before"] + target + (f"#{anchor}" if anchor else "")

    return LINK.sub(on_site, markdown)
