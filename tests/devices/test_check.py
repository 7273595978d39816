"""The check that another process runs on GPUs, as far as a CPU can run it."""

import json

import numpy as np
import tensorflow as tf

from kaggle_cifar.devices import check

INPUTS = tf.ones((8, 8, 8, 16)), tf.ones((3, 3, 16, 16))


def test_report_is_a_line_of_json(capsys):
    check.report("gpus", ["Tesla T4"])
    assert json.loads(capsys.readouterr().out) == {"gpus": ["Tesla T4"]}


def test_update_is_the_same_compiled_by_xla():
    compiled = tf.function(check.update, autograph=False, jit_compile=True)
    plain = check.update(*INPUTS)
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(compiled(*INPUTS), plain, rtol=1e-3, atol=1e-3)


def test_function_that_fails_on_a_gpu_is_a_fault():
    def fail(*_):
        raise tf.errors.InternalError(None, None, "libdevice not found")

    assert check.fault_of(fail, 1) == "InternalError: libdevice not found"
    assert check.fault_of(fail, 0) == ""
