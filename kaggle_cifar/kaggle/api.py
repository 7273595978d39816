"""The kaggle client with this program's timeouts. Importing this module imports `kaggle`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import requests
from kaggle.api.kaggle_api_extended import KaggleApi

from kaggle_cifar.kaggle.session import mount_timeouts
from kaggle_cifar.kaggle.signed_links import download_link

P = ParamSpec("P")
T = TypeVar("T")


class Api(KaggleApi):  # type: ignore[misc, unused-ignore]
    """A `KaggleApi` whose requests have a timeout and are sent once."""

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

    def with_retry(self, func: Callable[P, T], *_: Any, **__: Any) -> Callable[P, T]:
        """Return the function itself, because `kaggle.client.call` repeats requests."""
        return func

    def download_file(self, response: requests.Response, outfile: str, *_: Any, **__: Any) -> None:
        """Download the file of a response; `kernels_output` calls this for each file.

        The client's own method takes a compressed answer for a damaged one.
        """
        response.close()
        path = Path(outfile)
        path.parent.mkdir(parents=True, exist_ok=True)
        download_link(response.url, path)
