"""Fixtures: an environment without an accelerator, and GPUs that TensorFlow seems to have."""

from collections.abc import Callable, Iterator

import pytest

from kaggle_cifar.devices import drivers, probe


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*drivers.HIDING_VARIABLES, *drivers.TPU_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def forget_probes() -> Iterator[None]:
    """Let no test see what another one found."""
    yield
    probe.probe_gpus.cache_clear()
    probe.xla_fault.cache_clear()


@pytest.fixture
def show_gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets TensorFlow seem to have GPUs, given by their details."""

    def show(*details: dict[str, object]) -> None:
        import tensorflow as tf

        monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: list(details))
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)

    return show
