"""Find words that this project does not use: python tools/check_words.py [FILE …].

Without arguments, it checks every text file that git tracks. It prints FILE:LINE for each word it
finds and exits with status 1 if there is one. A line that contains `words: allow` is not checked.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = {".cff", ".html", ".ipynb", ".md", ".py", ".toml", ".yaml", ".yml"}
NAMES = {"Makefile", "run"}
ALLOW = "words: allow"

GAP = r"[\s#>\"']+"  # a phrase may continue on the next line of a comment or string

# Each pattern, and what to write instead.
WORDS = {
    r"(?i:\banew\b)": "again",
    r"(?i:\bafresh\b)": "again",
    rf"(?i:\b(?:go|goes|going|gone|went){GAP}on{GAP}with\b)": "resume, continue",
    rf"(?i:\b(?:do|does|doing|did|done){GAP}without\b)": "omit, continue without",
    rf"(?i:\b(?:come|comes|coming|came){GAP}to{GAP}be\b)": "become",
    rf"(?i:\b(?:hold|holds|holding|held){GAP}(?:\w+{GAP})?against\b)": "compare with, check by",
    r"(?i:\blies\b)": "is",
    r"(?i:\b(?:tell|tells|telling|told)\b)(?!\s+apart)": "print, show, say",
    r"(?i:\bbeside\b)(?!\s+(?:a|an|each|it|its|the|them)\b)": "compared with",
    r"(?i:\bwhoever\b)": "anyone who, users who",
    rf"(?i:\bthat{GAP}is{GAP}why{GAP}it\b)": "therefore",
    r"(?<![\w-])Where\b(?=[^.?!:|]*,)": "if",
    r"(?:(?<=[\"'(|.:] )|(?<=[\"'(])|^[ #]*)Of\b(?! course)": "name the thing first",
}
PATTERNS = [(re.compile(word, re.MULTILINE), advice) for word, advice in WORDS.items()]


def find_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the words found there and the advice."""
    lines = text.splitlines()
    for pattern, advice in PATTERNS:
        for match in pattern.finditer(text):
            found = match[0].lstrip(" #\n")
            number = text.count("\n", 0, match.start() + match[0].index(found)) + 1
            if ALLOW not in lines[number - 1]:
                yield number, re.sub(GAP, " ", found), advice


def is_checked(path: Path) -> bool:
    """Return whether a file holds text of ours; this script lists the words itself."""
    named = path.suffix in SUFFIXES or path.name in NAMES
    return named and path.resolve() != Path(__file__).resolve()


def tracked_files() -> list[Path]:
    """Return the files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def main() -> int:
    """Check the given files, or all of them, and return the exit status."""
    parser = argparse.ArgumentParser(description="Find words that this project does not use.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    paths = parser.parse_args().files or tracked_files()
    found = 0
    for path in filter(is_checked, paths):
        for line, word, advice in sorted(find_words(path.read_text(encoding="utf-8"))):
            shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            print(f"{shown}:{line}: '{word}': use {advice}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
