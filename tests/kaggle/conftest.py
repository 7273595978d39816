"""Fixtures of the tests of the kaggle client."""

from collections.abc import Iterator

import pytest

from tests.helpers.kaggle_server import SECRETS


@pytest.fixture(autouse=True)
def no_secret_in_output(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Search what is printed; a test that reads the output asserts on its own."""
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in SECRETS if secret in output]
