"""Durations, validation splits, and relations between options."""

import click
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli
from kaggle_cifar.cli import options
from kaggle_cifar.cli.options import DependentCommand, DependentOption, Requirement
from kaggle_cifar.data.validation_split import VALIDATION_SPLITS


@pytest.mark.parametrize("option", ["--data-dir", "--runs-dir", "--submissions-dir"])
def test_file_as_a_folder_is_a_usage_error(tmp_path, option):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cli.cli, [option, str(tmp_path / "file"), "runs"])
    assert result.exit_code == 2
    assert option in result.output
    assert f"{tmp_path / 'file'} is a file, expected a folder" in result.output


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50m", 3000), ("1h30m", 5400), ("90s", 90), ("2h", 7200), ("1h0m5s", 3605)],
)
def test_duration_is_converted_to_seconds(text, seconds):
    assert options.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "50", "m", "0m", "-5m", "1.5h", "30m1h", "5m later", "9" * 400 + "h"]
)
def test_duration_rejects_other_text(text):
    with pytest.raises(click.BadParameter, match="50m, 1h30m or 90s"):
        options.parse_duration(text)


def test_duration_has_a_maximum():
    with pytest.raises(click.BadParameter, match="'1001h'; use at most 1000h"):
        options.parse_duration("1001h")


@pytest.mark.parametrize("split", [*VALIDATION_SPLITS, "fold1of10", "fold5of5", "fold2of12"])
def test_validation_accepts_splits_and_folds(split):
    assert options.parse_validation(split) == split


@pytest.mark.parametrize(
    "split", ["foo", "fold0of5", "fold6of5", "fold1of1", "fold1of", "fold-1of5"]
)
def test_validation_rejects_other_names(split):
    with pytest.raises(click.BadParameter, match="last20, stratified, none, or foldKofN"):
        options.parse_validation(split)


@click.command(cls=DependentCommand)
@click.option("--one", cls=DependentOption, excludes={"two": "the reason"}, envvar="ONE")
@click.option("--two")
@click.option("--three", cls=DependentOption, requires=Requirement(["one", "two"], "a reason"))
@click.option("--four", cls=DependentOption, recipe_key="key", is_flag=True)
@click.option("--set", "changes", multiple=True)
def command(**_):
    """Do nothing."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--one 1 --two 2", "--one cannot be used with --two: the reason."),
        ("--three 3", "--three requires --one or --two: a reason."),
        ("--four --set key=1", "--four cannot be used with --set key=…"),
        ("--three 3 --two 2", ""),
        ("--four --set other=1 --two 2", ""),
        ("--three 3 --help", ""),
    ],
)
def test_relations_of_options_are_checked(arguments, message):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == (2 if message else 0)
    assert message in result.output


def test_relations_ignore_the_environment():
    assert CliRunner().invoke(command, "--two 2", env={"ONE": "1"}).exit_code == 0
