import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kaggle_cifar import competition
from kaggle_cifar.devices.faults import UnusableGpuError
from kaggle_cifar.doctor import Finding
from kaggle_cifar.files import ProjectPaths
from tests.helpers import kaggle_server as server
from tests.helpers.kaggle_server import KaggleSite

doctor = importlib.import_module("kaggle_cifar.doctor")


@pytest.fixture
def examined(project: ProjectPaths) -> Iterator[dict[str, Finding]]:
    """The findings by name, which hold no secret."""
    findings: dict[str, Finding] = {}
    yield findings
    assert not [secret for secret in server.SECRETS if secret in str(findings)]


def examine(project: ProjectPaths, examined: dict[str, Finding]) -> dict[str, Finding]:
    examined.update({finding.name: finding for finding in doctor.examine(project)})
    return examined


def problems(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if finding.status == "problem"]


def test_ready_machine_has_no_problem(
    kaggle_site: KaggleSite, project: ProjectPaths, examined: dict[str, Finding]
) -> None:
    findings = examine(project, examined)
    assert problems(findings) == []
    assert "KAGGLE_USERNAME and KAGGLE_KEY" in findings["credentials"].detail
    assert findings["rules"].status == "ok"
    assert findings["py7zr"].detail[0].isdigit()
    assert not project.data.exists()


def test_missing_credentials_are_a_problem(
    clean_home: Path, project: ProjectPaths, examined: dict[str, Finding]
) -> None:
    findings = examine(project, examined)
    assert problems(findings) == ["credentials"]
    assert "make demo" in findings["credentials"].detail
    assert "rules" not in findings


def test_rejected_key_is_a_problem(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    examined: dict[str, Finding],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "FAKE-BAD-KEY")
    assert problems(examine(project, examined)) == ["key"]
    assert "FAKE-BAD-KEY" not in str(examined)


def test_unaccepted_rules_are_a_problem(
    kaggle_site: KaggleSite, project: ProjectPaths, examined: dict[str, Finding]
) -> None:
    kaggle_site.rules_accepted = False
    findings = examine(project, examined)
    assert problems(findings) == ["rules"]
    assert competition.RULES_PAGE in findings["rules"].detail


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_readable_credentials_are_a_warning(
    kaggle_site: KaggleSite, clean_home: Path, project: ProjectPaths, examined: dict[str, Finding]
) -> None:
    path = clean_home / ".kaggle" / "access_token"
    path.parent.mkdir()
    path.write_text(server.TOKEN)
    path.chmod(0o644)
    findings = examine(project, examined)
    assert findings["credentials"].status == "warning"
    assert f"chmod 600 {path}" in findings["credentials"].detail
    assert problems(findings) == []


def test_full_disk_is_a_warning_without_images(
    clean_home: Path, project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.files.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    assert doctor.examine_disk(project).status == "warning"
    project.data.mkdir()
    for split in ("train", "test"):
        project.manifest(split).touch()
    assert doctor.examine_disk(project).status == "ok"


def test_devices_precision_xla_and_gelu_are_named() -> None:
    findings = {finding.name: finding for finding in doctor.examine_devices()}
    assert list(findings) == ["devices", "mixed precision", "xla", "gelu"]
    assert {finding.status for finding in findings.values()} == {"ok"}
    assert "CPU" in findings["devices"].detail
    assert "bfloat16" in findings["mixed precision"].detail


def test_gpu_that_tensorflow_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UnusableGpuError(["Tesla T4"], "libraries are missing.")

    monkeypatch.setattr(doctor, "require_usable_devices", refuse)
    [finding] = doctor.examine_devices()
    assert (finding.name, finding.status) == ("devices", "problem")
    assert "Tesla T4" in finding.detail


def test_xla_that_fails_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "xla_fault", lambda: "InternalError: ptxas not found")
    xla, gelu = doctor.examine_xla()
    assert (xla.status, gelu.status) == ("warning", "ok")
    assert "ptxas not found" in xla.detail
    assert "because XLA fails" in gelu.detail


def test_gpus_are_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[bool] = []
    monkeypatch.setattr(doctor, "visible_gpus", lambda: ["GPU:0"])
    monkeypatch.setattr(doctor, "renew_probe", lambda: renewed.append(True))
    list(doctor.examine_devices())
    assert renewed == [True]


@pytest.mark.parametrize(("policy", "status"), [("float32", "no"), ("mixed_float16", "yes")])
def test_mixed_precision_is_named_with_its_type(
    monkeypatch: pytest.MonkeyPatch, policy: str, status: str
) -> None:
    policies = {"always": "mixed_float16", "where faster": policy}
    monkeypatch.setattr(doctor, "dtype_policy", policies.__getitem__)
    detail = doctor.examine_precision().detail
    assert detail.startswith(status) and "float16" in detail


def test_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    *others, last = doctor.examine_versions()
    assert {finding.status for finding in others} == {"ok"}
    assert (last.name, last.status) == ("no-such-package", "problem")


@pytest.mark.parametrize(
    ("hours", "status", "words"),
    [
        ((2.5, 30.0), "ok", "27.5 of 30.0 hours left until 2026-11-28"),
        ((29.8, 30.0), "warning", "too few for `kaggle-cifar train --on kaggle`"),
        ((0.0, 0.0), "warning", "Verify your phone at"),
        (None, "warning", "Asking for the GPU quota failed"),
    ],
)
def test_gpu_hours_on_kaggle_are_reported(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    examined: dict[str, Finding],
    hours: tuple[float, float] | None,
    status: str,
    words: str,
) -> None:
    kaggle_site.kernels.gpu_hours = hours
    findings = examine(project, examined)
    assert findings["kaggle gpu"].status == status
    assert words in findings["kaggle gpu"].detail
    assert problems(findings) == []


def test_unused_gpu_hours_mention_the_phone(
    kaggle_site: KaggleSite, project: ProjectPaths, examined: dict[str, Finding]
) -> None:
    kaggle_site.kernels.has_ever_run = False
    assert "a phone verified at" in examine(project, examined)["kaggle gpu"].detail


def test_disk_without_write_access_is_a_problem(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert doctor.examine_disk(project).status == "problem"


@pytest.mark.parametrize(("gigabytes", "status"), [(2, "warning"), (16, "ok"), (None, "ok")])
def test_small_memory_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int | None, status: str
) -> None:
    def sysconf(name: str) -> int:
        if gigabytes is None:  # as on Windows
            raise ValueError(name)
        return gigabytes * 10**6 if name == "SC_PHYS_PAGES" else 1000

    monkeypatch.setattr(doctor.os, "sysconf", sysconf)
    assert doctor.examine_memory().status == status
