"""The command line itself: help, names, exit statuses."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli
from tests.helpers.no_home import run_without_home

COMMANDS = sorted(cli.cli.commands)


def run_cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "kaggle_cifar", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_has_help(command):
    result = CliRunner().invoke(cli.cli, [command, "--help"])
    assert result.exit_code == 0
    assert cli.cli.commands[command].help
    for parameter in cli.cli.commands[command].params:
        if isinstance(parameter, click.Option) and parameter.name != "extract":
            assert parameter.help, parameter.name


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from kaggle_cifar import cli; cli.cli(['--help'], standalone_mode=False);"
        "print(sorted({'tensorflow', 'keras', 'kaggle', 'pandas', 'py7zr', 'numpy', 'matplotlib'}"
        " & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "model3-tunde"], "Did you mean model3-tuned?"),
        (["train", "unheard-of"], "model1, model2, model3, model3-tuned-plateau, model3-tuned"),
        (["train", "--eposh", "3"], "--epochs"),
        (["train", "--epochs", "0"], "--epochs"),
        (["train", "--validation", "some"], "stratified"),
        (["train", "--seed", "1", "--seeds", "3"], "--seed and --seeds exclude"),
        (["train", "--folds", "5", "--validation", "none"], "--folds and --validation exclude"),
        (["train", "--folds", "5", "--seeds", "3"], "--seeds and --folds exclude"),
        (["train", "--epochs", "3", "--time-budget", "5m"], "--epochs and --time-budget exclude"),
        (["train", "--epochs", "3", "--set", "epochs=5"], "--epochs and --set epochs=… exclude"),
        (
            ["train", "--mixed-precision", "--set", "mixed_precision=false"],
            "--mixed-precision and --set mixed_precision=… exclude",
        ),
        (["train", "--time-budget", "50"], "Write it like 50m, 1h30m or 90s"),
        (["train", "--validation", "fold6of5"], "a fold like fold1of10"),
        (["train", "airbench94", "--set", "sgd=null"], "--set: The settings 'sgd'"),
        (["train", "--set", "epochs"], "KEY=VALUE"),
        (["train", "--seed", "4294967296"], "--seed"),
        (["train", "--epochs", "1000001"], "--epochs"),
        (["train", "--limit", "9"], "--limit"),
        (["train", "--time-budget", "9" * 400 + "h"], "--time-budget"),
        (["train", "--time-budget", "1001h"], "is more than 1000 h"),
        (["train", "--set", "epochs=Infinity"], "epochs must be"),
        (["train", "--set", "plateau.factor=NaN"], "plateau.factor must be"),
        (["train", "nowhere.json"], "nowhere.json is missing"),
        (["trian"], "No such command"),
        (["check"], "CSV"),
    ],
)
def test_a_usage_error_is_status_2_and_says_what_there_is(arguments, words):
    result = run_cli(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50m", 3000), ("1h30m", 5400), ("90s", 90), ("2h", 7200), ("1h0m5s", 3605)],
)
def test_a_time_is_written_in_hours_minutes_and_seconds(text, seconds):
    assert cli.Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "50", "m", "0m", "-5m", "1.5h", "30m1h", "5m later"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter, match="50m, 1h30m or 90s"):
        cli.Duration().convert(text, None, None)


@pytest.mark.parametrize("split", [*cli.VALIDATION_SPLITS, "fold1of10", "fold5of5", "fold2of12"])
def test_a_validation_split_may_be_any_fold(split):
    assert cli.ValidationSplit().convert(split, None, None) == split


@pytest.mark.parametrize(
    "split", ["foo", "fold0of5", "fold6of5", "fold1of1", "fold1of", "fold-1of5"]
)
def test_a_fold_that_is_none_is_refused(split):
    with pytest.raises(click.BadParameter, match="last20, stratified, none or a fold"):
        cli.ValidationSplit().convert(split, None, None)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "airbench94"),
        (["--seed", "1"], "airbench94-seed1"),
        (["--time-budget", "50m"], "airbench94-50m"),
        (["--time-budget", "90s", "--seed", "0"], "airbench94-1.5m-seed0"),
        (["--time-budget", "50m", "--name", "mine"], "mine"),
        (["--time-budget", "50m", "--seeds", "1"], "airbench94-50m-seed0"),
        (["--set", 'network_options={"widths":[8]}'], "airbench94,network_options=widths=8"),
    ],
)
def test_a_runs_name_tells_what_was_asked_for(monkeypatch, arguments, name):
    from kaggle_cifar.search import seeds_and_folds
    from kaggle_cifar.training import train as local_training

    asked = []
    for module in (local_training, seeds_and_folds):
        monkeypatch.setattr(module, "train", lambda *arguments: asked.append(arguments))
    cli.cli.main(["train", "airbench94", *arguments], standalone_mode=False)
    [(_, _, run_name, options, *_)] = asked
    assert run_name == name
    budgets = {"50m": 3000, "90s": 90}
    assert options.time_budget == next((budgets[a] for a in arguments if a in budgets), None)


@pytest.mark.parametrize(
    ("arguments", "told"), [([], True), (["model3-tuned"], True), (["airbench94"], False)]
)
def test_the_default_recipe_says_which_does_better(monkeypatch, capsys, arguments, told):
    from kaggle_cifar.training import train as local_training

    monkeypatch.setattr(local_training, "train", lambda *arguments: None)
    cli.cli.main(["train", *arguments], standalone_mode=False)
    assert ("airbench94 reaches 93 %" in capsys.readouterr().out) == told


@pytest.mark.parametrize("sweep", [[], ["--seeds", "1"]])
def test_tensorboard_reaches_the_training(monkeypatch, sweep):

    from kaggle_cifar.search import seeds_and_folds
    from kaggle_cifar.training import train as local_training

    asked = []
    for module in (local_training, seeds_and_folds):
        monkeypatch.setattr(module, "train", lambda *arguments: asked.append(arguments[-1]))
    for option in ([], ["--tensorboard"]):
        cli.cli.main(["train", *sweep, *option], standalone_mode=False)
    assert asked == [False, True]


def test_a_users_error_is_a_sentence_and_status_1(tmp_path):
    result = run_cli("--data-dir", str(tmp_path), "extract")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_predict_refuses_an_output_before_any_work(monkeypatch, tmp_path):
    from kaggle_cifar.prediction import predict
    from kaggle_cifar.submission import record
    from kaggle_cifar.training import find_runs
    from kaggle_cifar.training.run import Run

    run = Run(tmp_path / "runs" / "model1")
    monkeypatch.setattr(find_runs, "chosen_runs", lambda *_: [run])
    monkeypatch.setattr(predict, "predict", lambda *_: pytest.fail("it began to work"))
    arguments = ["--runs-dir", str(tmp_path / "runs"), "predict", "--output"]
    for output in (run.folder / "metrics.csv", tmp_path / "s.json"):
        with pytest.raises(record.CsvNameError) as caught:
            cli.cli.main([*arguments, str(output)], standalone_mode=False)
        assert caught.value.path == output


def test_again_reaches_the_submission(monkeypatch):
    from kaggle_cifar.submission import submit

    asked = []
    monkeypatch.setattr(submit, "submit", lambda *_, **options: asked.append(options))
    for options in ([], ["--again"]):
        cli.cli.main(["submit", "s.csv", *options], standalone_mode=False)
    assert asked == [{"again": False}, {"again": True}]


@pytest.mark.parametrize("command", ["check", "submit"])
def test_a_file_that_is_no_csv_is_named_in_one_line(tmp_path, command):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(os.urandom(5_000)))
    for name, kind in (("pipe.csv", "a named pipe"), ("packed.csv", "a gzip file")):
        result = run_cli("--data-dir", str(tmp_path), command, str(tmp_path / name))
        assert result.returncode == 1
        assert result.stdout == ""
        assert result.stderr.startswith(f"Error: {tmp_path / name} is {kind}")
        assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_an_output_that_cannot_be_printed_is_a_sentence(tmp_path):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "kaggle_cifar", "--runs-dir", str(tmp_path), "runs"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    assert "could not be printed" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)], ids=str)
def test_closed_standard_streams_are_no_fault(tmp_path, closed):
    redirections = " ".join(f"{descriptor}>&-" for descriptor in closed)
    command = [sys.executable, "-m", "kaggle_cifar", "sample", str(tmp_path / "raw")]
    shell = f'exec "$@" {redirections}'
    result = subprocess.run(["bash", "-c", shell, "bash", *command], capture_output=True, text=True)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    # What is printed got into none of the files.
    first = (tmp_path / "raw" / "solution.csv").read_text().splitlines()[0]
    assert first == "id,label,Usage"


INTERRUPTED_AT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # else as the tests were started
module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
from kaggle_cifar.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("click", "runs"),
        ("filelock", "runs"),
        ("kaggle_cifar.recipes", "runs"),
        ("numpy", "inspect"),
        ("tensorflow", "inspect"),
        ("keras.src", "inspect"),
    ],
)
def test_an_interrupted_import_ends_without_a_traceback(tmp_path, module, command):
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module, *folders, command],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 130, result.stderr
    assert "Stopped." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_terminal_of_few_letters_is_no_fault(tmp_path):
    result = run_cli("--runs-dir", str(tmp_path / "Läufe"), "runs", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "L?ufe" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["check", "{}"], ["train", "{}.json"], ["--data-dir", "{}", "extract"], ["{}"]]
)
def test_an_error_escapes_control_characters(arguments):
    hostile = "a\x1b[2J\u202eb\x9b"
    result = run_cli(*(argument.format(hostile) for argument in arguments))
    assert result.returncode in (1, 2)
    assert "\\u202eb\\x9b" in result.stderr
    assert not {"\x1b", "\u202e", "\x9b"} & set(result.stderr)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no passwd")
@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["doctor"],
        ["download"],
        ["inspect"],
        ["train"],
        ["train", "--on", "kaggle"],
        ["search"],
        ["predict"],
        ["submit", "a.csv"],
        ["report"],
    ],
)
def test_no_command_needs_a_home(clean_home, tmp_path, command):
    result = run_without_home(tmp_path, *command)
    assert result.returncode == (0 if command == ["runs"] else 1)
    assert "Traceback" not in result.stderr


def test_a_refused_training_leaves_no_folder(tmp_path):
    result = run_cli("--runs-dir", str(tmp_path / "runs"), "--data-dir", str(tmp_path), "train")
    assert result.returncode == 1
    assert not (tmp_path / "runs" / "model3-tuned").exists()


def test_folders_can_be_given_by_the_environment(tmp_path):
    result = run_cli("predict", KAGGLE_CIFAR_RUNS_DIR=str(tmp_path / "elsewhere"))
    assert result.returncode == 1
    assert f"no finished run in {tmp_path}/elsewhere" in result.stderr
