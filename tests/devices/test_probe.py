"""The probe of XLA: in this process on a CPU, in another one with a GPU, kept on disk."""

import sys

import pytest

from kaggle_cifar.devices import probe
from kaggle_cifar.devices.probe import Probe, check_in_child, probe_gpus, xla_fault

T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
GOOD = Probe(["Tesla T4"], True, "12.5.1")


def child(*lines, end=""):
    """Return the command of a process that prints lines, then ends in some way."""
    return [
        sys.executable,
        "-c",
        "\n".join([*(f"print({line!r}, flush=True)" for line in lines), end]),
    ]


@pytest.fixture
def checks(clean_home, monkeypatch, show_gpus):
    """The checks that were run, on a machine where TensorFlow seems to have a T4."""
    show_gpus(T4)
    run = []
    monkeypatch.setattr(probe, "check_in_child", lambda: run.append(GOOD) or GOOD)
    return run


def test_xla_works_on_this_cpu_without_another_process(monkeypatch):
    monkeypatch.setattr(probe.subprocess, "run", None)
    assert xla_fault() == ""


def test_xla_that_does_not_compile_is_a_fault(monkeypatch):
    import tensorflow as tf

    def fail(*_, **__):
        raise tf.errors.UnimplementedError(None, None, "XLA is not built in\nmore")

    monkeypatch.setattr(tf, "function", lambda *_, **__: fail)
    assert xla_fault() == "UnimplementedError: XLA is not built in"


def test_check_passes_on_what_it_finds():
    lines = ['{"built_with_gpus": true}', '{"cuda": "12.5.1"}', '{"gpus": ["Tesla T4"]}']
    lines += [
        "a library prints",
        '{"operations_fault": ""}',
        '{"xla_fault": "InternalError: ptxas\\nmore"}',
    ]
    found = check_in_child(child(*lines))
    assert found == Probe(["Tesla T4"], True, "12.5.1", "", "InternalError: ptxas")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGABRT")
@pytest.mark.parametrize(
    ("lines", "operations_work"), [(['{"operations_fault": ""}'], True), ([], False)]
)
def test_check_that_aborts_is_a_fault_of_what_it_did(lines, operations_work):
    die = "import os, sys; sys.stderr.write('LLVM ERROR: Cannot select\\nStack dump\\n'); "
    die += "sys.stderr.flush(); os.abort()"
    found = check_in_child(child('{"gpus": ["RTX 5090"]}', *lines, end=die))
    assert "SIGABRT" in found.xla_fault and "LLVM ERROR: Cannot select" in found.xla_fault
    assert (found.operations_fault == "") == operations_work
    assert "Stack dump" in found.said


def test_check_that_ends_before_it_lists_gpus_does_not_fault_them():
    found = check_in_child(child(end="raise SystemExit(3)"))
    assert found.operations_fault == ""
    assert "status 3" in found.xla_fault


def test_check_that_hangs_is_a_fault_of_xla_only():
    hang = child('{"gpus": ["Tesla T4"]}', end="import time; time.sleep(60)")
    found = check_in_child(hang, seconds=1)
    assert found.operations_fault == ""
    assert found.xla_fault


@pytest.mark.slow
def test_check_finds_no_gpu_here():
    found = check_in_child()
    assert (found.gpus, found.operations_fault, found.xla_fault) == ([], "", "")


def test_check_runs_once_for_a_machine(checks, monkeypatch):
    for _ in range(3):
        assert probe_gpus() == GOOD
        assert xla_fault() == ""
        probe_gpus.cache_clear()  # as in another process
        xla_fault.cache_clear()
    assert len(checks) == 1
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_cuda_data_dir=/opt/cuda")
    probe_gpus()
    assert len(checks) == 2


def test_renewed_check_replaces_what_was_kept(checks):
    probe_gpus()
    probe.renew_probe()
    assert len(checks) == 2
    assert probe_gpus() == GOOD
    assert len(checks) == 2


def test_foreign_file_is_kept_and_the_check_runs(checks):
    file = probe.kept_file()
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert probe_gpus() == GOOD
    assert file.read_text() == "mine"


def test_gpu_for_one_process_is_a_fault_of_xla(checks, monkeypatch):
    monkeypatch.setattr(probe, "check_in_child", Probe)
    assert "no GPU" in xla_fault()
    assert not probe.kept_file().exists()
