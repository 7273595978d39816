"""The part of the stand-in for kaggle.com that runs kernels, in folders laid out like Kaggle's.

It runs a pushed script in a process that cannot import click, py7zr and the kaggle client. That
process imports this package only from the source in the script.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

PAGE_SIZE = 4

# Comes first on the path of a kernel's processes, and hides what Kaggle's image lacks.
SITECUSTOMIZE = """
import os, sys
from importlib.machinery import PathFinder

class KaggleImage:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        if name == "kaggle_cifar":
            carried = [entry for entry in sys.path if entry.startswith(os.environ["TMPDIR"])]
            spec = PathFinder.find_spec(name, carried)
            if spec is None:
                raise ModuleNotFoundError("No module named 'kaggle_cifar'", name=name)
            return spec
        return None

sys.meta_path.insert(0, KaggleImage)
"""


@dataclass
class Kernel:
    """A kernel with its one session."""

    slug: str
    request: Any
    state: str = "QUEUED"
    failure: str = ""
    looks: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def log(self, text: str) -> None:
        self.events.append({"stream_name": "stdout", "time": len(self.events), "data": text})

    def end(self, state: str = "COMPLETE", failure: str = "") -> None:
        self.failure, self.state = failure, state


@dataclass
class KernelHost:
    """The site's kernels: how they run and what they find, as a test sets it."""

    folder: Path = Path("unset")
    mount: Callable[[Path], None] = lambda inputs: None  # mounts the competition
    modules: dict[str, str] = field(default_factory=dict)  # more modules of the image: their code
    absent: tuple[str, ...] = ("click", "py7zr", "kaggle", "kagglesdk")
    watch: Callable[[Kernel, str, subprocess.Popen], None] = lambda *_: (
        None
    )  # gets each line of a log
    run: Callable[["KernelHost", Kernel], None] | None = None  # replaces running the script
    refusal: dict[str, Any] = field(default_factory=dict)  # fields of the next push's answer
    cut_stream: int = 0  # number of streams to cut after their first event
    gpu_hours: tuple[float, float] | None = (2.5, 30.0)  # used, total
    has_ever_run: bool = True
    quota_refresh: str | None = "2026-11-28T00:00:00Z"
    all: dict[str, Kernel] = field(default_factory=dict)

    def run_as_kaggle_does(self, kernel: Kernel) -> None:
        """Run the script in its folder; keep what it prints and leaves."""
        home = self.folder / kernel.slug
        root = home / "kaggle"
        for folder in (root / "working", root / "input", root / "src", home / "tmp", home / "site"):
            folder.mkdir(parents=True)
        self.mount(root / "input")
        for source in kernel.request.kernel_data_sources:
            self.mount_output(self.all[source.partition("/")[2]], root / "input")
        (home / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE.format(absent=self.absent))
        for name, code in self.modules.items():
            (home / "site" / f"{name}.py").write_text(code)
        (root / "src" / "script.py").write_text(kernel.request.text)
        process = subprocess.Popen(
            [sys.executable, "-u", str(root / "src" / "script.py")],
            cwd=root / "working",
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "TMPDIR": str(home / "tmp"),
                "KAGGLE_KERNEL_RUN_TYPE": "Batch",
                "PYTHONPATH": str(home / "site"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for line in process.stdout or ():
            kernel.log(line)
            self.watch(kernel, line, process)
        status = process.wait()
        files = [path for path in (root / "working").rglob("*") if path.is_file()]
        kernel.files = {str(p.relative_to(root / "working")): p.read_bytes() for p in files}
        shutil.rmtree(home)
        kernel.end("ERROR" if status else "COMPLETE", kernel.failure)

    @staticmethod
    def mount_output(kernel: Kernel, inputs: Path) -> None:
        for name, content in kernel.files.items():
            path = inputs / "notebooks" / "ada" / kernel.slug / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class KernelMethods:
    """The methods of the site's handler for kernels."""

    def kernel_types(self) -> Any:
        from kagglesdk.kernels.types import kernels_api_service

        return kernels_api_service

    def new(self, kind: str, **values: Any) -> Any:
        value = getattr(self.kernel_types(), kind)()
        for name, item in values.items():
            setattr(value, name, item)
        return value

    def save_kernel(self) -> None:
        host = self.site.kernels
        request = self.kernel_types().ApiSaveKernelRequest.from_json(self.body)
        slug = request.slug.partition("/")[2]
        answer = self.new("ApiSaveKernelResponse", ref=f"/code/{request.slug}", version_number=1)
        for name, value in host.refusal.items():
            setattr(answer, name, value)
        if host.refusal:
            answer.ref, host.refusal = "", {}
        else:
            host.all[slug] = Kernel(slug, request)
        self.answer_object(answer)

    def known_kernel(self, request: Any) -> Kernel | None:
        kernel = self.site.kernels.all.get(request.kernel_slug)
        if kernel is None:
            self.answer_error(403, "Permission 'kernels.get' was denied")
        return kernel

    def get_kernel_session_status(self) -> None:
        from kagglesdk.kernels.types.kernels_enums import KernelWorkerStatus

        types = self.kernel_types()
        kernel = self.known_kernel(types.ApiGetKernelSessionStatusRequest.from_json(self.body))
        if kernel is None:
            return
        host = self.site.kernels
        kernel.looks += 1
        if kernel.looks == 2 and kernel.state == "QUEUED":
            kernel.state = "RUNNING"
            run = host.run or KernelHost.run_as_kaggle_does
            threading.Thread(target=run, args=(host, kernel), daemon=True).start()
        status = KernelWorkerStatus[kernel.state]
        self.answer_object(
            self.new(
                "ApiGetKernelSessionStatusResponse", status=status, failure_message=kernel.failure
            )
        )

    def list_kernel_session_output(self) -> None:
        types = self.kernel_types()
        request = types.ApiListKernelSessionOutputRequest.from_json(self.body)
        kernel = self.known_kernel(request)
        if kernel is None:
            return
        start = int(request.page_token or 0)
        names = sorted(kernel.files)
        folder = f"http://storage.kaggle.test/kernels/{kernel.slug}"
        signature = "X-Goog-Signature=FAKE-SIGNATURE-55aa55aa"
        files = [
            self.new(
                "ApiKernelSessionOutputFile",
                file_name=name,
                url=f"{folder}/{quote(name)}?{signature}",
            )
            for name in names[start : start + PAGE_SIZE]
        ]
        more = start + PAGE_SIZE < len(names)
        answer = self.new(
            "ApiListKernelSessionOutputResponse",
            files=files,
            log=json.dumps(kernel.events),
            next_page_token=str(start + PAGE_SIZE) if more else "",
        )
        self.answer_object(answer)

    def kernel_file(self, path: str) -> bytes:
        slug, _, name = path.partition("/kernels/")[2].partition("/")
        return self.site.kernels.all[slug].files[unquote(name)]

    def stream_log(self, slug: str) -> None:
        """Stream the events of a running session; send those of an ended one as a JSON list."""
        host = self.site.kernels
        kernel = host.all.get(slug)
        if kernel is None or not self.is_authorised():
            self.answer_error(403, "denied")
            return
        if kernel.state != "RUNNING":
            body = json.dumps(kernel.events).encode()
            self.answer(200, body, {"Content-Type": "application/json"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        sent = 0
        while kernel.state == "RUNNING" or sent < len(kernel.events):
            for event in kernel.events[sent:]:
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                sent += 1
                if host.cut_stream:
                    host.cut_stream -= 1
                    return
            self.wfile.flush()
            self.site.closing.wait(0.02)
        self.wfile.write(b"data: END_OF_LOG\n\n")

    def get_accelerator_quota_statistics(self) -> None:
        if self.site.kernels.gpu_hours is None:
            self.unknown_method()
            return
        used, total = (f"{hours * 3600:.0f}s" for hours in self.site.kernels.gpu_hours)
        # A dictionary, because the client's types lose the days of a duration when they send it.
        answer = {
            "quotaRefreshTime": self.site.kernels.quota_refresh,
            "gpuQuota": {
                "timeUsed": used,
                "totalTimeAllowed": total,
                "hasEverRun": self.site.kernels.has_ever_run,
            },
        }
        self.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
