"""The kaggle client with this program's timeouts. Importing this module imports `kaggle`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaggle.api.kaggle_api_extended import KaggleApi
from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

from kaggle_cifar.kaggle.session import mount_timeouts
from kaggle_cifar.kaggle.signed_links import download_link


class Api(KaggleApi):  # type: ignore[misc, unused-ignore]
    """A `KaggleApi` whose requests all have a timeout."""

    def build_kaggle_client(self, follow_redirects: bool = True) -> Any:
        """Return a client of the API; use it as a context manager.

        Without `follow_redirects`, a redirect raises `requests.TooManyRedirects`.
        """
        client = super().build_kaggle_client()
        # The session is private, but nothing public of the client gives its requests a timeout.
        http = client.http_client()
        http._init_session()
        mount_timeouts(http._session)
        if not follow_redirects:
            http._session.max_redirects = 0
        return client

    def kernels_output(
        self, kernel: str, path: str, file_pattern: str | None = None, *_: Any, **__: Any
    ) -> None:
        """Download the files of a kernel's output whose names match into the folder `path`.

        The client's own method sends requests on sessions that cannot be given a timeout, and
        keeps a compressed answer as it is.
        """
        folder = Path(path)
        for file in self.output_files(kernel):
            target = folder / file.file_name
            if file_pattern and not re.search(file_pattern, file.file_name):
                continue
            if not target.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"the output has a file outside its folder: {file.file_name!r}")
            target.parent.mkdir(parents=True, exist_ok=True)
            download_link(file.url, target)

    def output_files(self, kernel: str) -> Iterator[Any]:
        """Yield the name and the signed link of each file of a kernel's output."""
        request = ApiListKernelSessionOutputRequest()
        request.user_name, request.kernel_slug = kernel.split("/")
        while True:
            with self.build_kaggle_client() as kaggle:
                answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
            yield from answer.files or []
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
