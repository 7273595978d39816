"""The estimate of how long a training takes."""

import types

from kaggle_cifar.training import runtime_estimator
from kaggle_cifar.training.runtime_estimator import RuntimeEstimator


def test_estimate_is_printed_once_without_compilation(monkeypatch, capsys):
    times = iter([100.0, 105.0, 111.0, 150.0])
    clock = types.SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr(runtime_estimator, "time", clock)
    work = iter([0.1, 0.4])
    estimator = RuntimeEstimator(images=1000, epochs=4, work_done=lambda: next(work))
    for images_seen in (100, 150, 1200, 2000):
        estimator.update(images_seen)
    # 1,100 images in 11 s, which are 0.3 of the work; 0.6 of it remains.
    printed = capsys.readouterr().out
    assert printed == ("100 images/s: about 10 s an epoch, at most 22 s to the end of epoch 4.\n")
