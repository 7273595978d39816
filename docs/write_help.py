"""Update the help texts in commands.md: python docs/write_help.py."""

import re
from pathlib import Path

import click

from kaggle_cifar.cli import cli

PAGE = Path(__file__).parent / "commands.md"
BLOCK = re.compile(r"```text\nUsage: kaggle-cifar (\S+).*?```", re.DOTALL)
WIDTH = 88  # characters


def with_current_help(page: str) -> str:
    """Return the page with the current help of each command."""
    return BLOCK.sub(lambda block: f"```text\n{help_text(block[1])}\n```", page)


def help_text(name: str) -> str:
    """Return the help of a command, or of the group if no command has that name."""
    settings = cli.context_settings
    group = click.Context(cli, info_name="kaggle-cifar", terminal_width=WIDTH, **settings)
    if name not in cli.commands:
        return cli.get_help(group)
    command = cli.commands[name]
    context = click.Context(command, parent=group, info_name=name, terminal_width=WIDTH)
    return command.get_help(context)


if __name__ == "__main__":
    PAGE.write_text(with_current_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
