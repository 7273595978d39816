"""Brings the help in commands.md up to date: python docs/write_help.py."""

import re
from pathlib import Path

import click

from kaggle_cifar import cli

PAGE = Path(__file__).parent / "commands.md"
BLOCK = re.compile(r"```text\nUsage: kaggle-cifar (\S+).*?```", re.DOTALL)
WIDTH = 88  # characters


def with_current_help(page: str) -> str:
    """Return the page with each command's help as the command gives it now."""
    return BLOCK.sub(lambda block: f"```text\n{help_of(block[1])}\n```", page)


def help_of(name: str) -> str:
    """Return the help of a command, or of all where the name is none's."""
    settings = cli.cli.context_settings
    whole = click.Context(cli.cli, info_name="kaggle-cifar", terminal_width=WIDTH, **settings)
    if name not in cli.cli.commands:
        return cli.cli.get_help(whole)
    command = cli.cli.commands[name]
    context = click.Context(command, parent=whole, info_name=name, terminal_width=WIDTH)
    return command.get_help(context)


if __name__ == "__main__":
    PAGE.write_text(with_current_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
