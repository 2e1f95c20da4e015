"""What is asked of the Hugging Face hub, and what its answers mean to a person. Needs ``huggingface_hub``.

Files come over plain HTTP, also where the hub offers its xet protocol: xet rebuilds a file from chunks on threads of its
own, goes on from no partial file, stops late, and mirrors do not speak it. The hub serves every file under 50 GB over HTTP.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, is_offline_mode
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, parse_ratelimit_headers

from ..errors import BadInput, DA3Error
from .transfer import RemoteFile, Transient

FILE = "model.safetensors"
TIMEOUT = httpx2.Timeout(20.0, connect=10.0)  # seconds without a byte until the request counts as failed


def http_session() -> httpx2.Client:
    """huggingface_hub's, with the certificates that ``REQUESTS_CA_BUNDLE`` names where ``SSL_CERT_FILE`` does not.

    Raises
    ------
    DA3Error
        The proxy or the certificates of the environment variables cannot be used.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bundle = os.environ.get(name)
        if not bundle:
            continue
        if not os.path.exists(bundle):  # noqa: PTH110  # a text of the person, which may be no path at all
            raise DA3Error(f"There are no certificates at '{bundle}', which {name} names: correct or unset it")
        os.environ["SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"] = bundle  # noqa: PTH112
        break
    try:
        return get_session()
    except ImportError as error:
        raise DA3Error(
            "The network's proxy is a SOCKS proxy, which downloads cannot use: set HTTPS_PROXY to an HTTP proxy, or unset "
            f"ALL_PROXY ({error})"
        ) from error
    except ValueError as error:
        raise DA3Error(
            f"The proxy of the environment variables cannot be used ({error}): check HTTPS_PROXY and ALL_PROXY"
        ) from error
    except OSError as error:  # of the ssl module
        raise DA3Error(f"The certificates that SSL_CERT_FILE names cannot be used ({error})") from error


class Hub:
    """A hub and how one is known there.

    Parameters
    ----------
    endpoint : None for huggingface_hub's own (``HF_ENDPOINT``, else the public hub)
    token : None for the one the machine is logged in with, if any

    Raises
    ------
    BadInput
        The endpoint is no web address, or the token no token.
    DA3Error
        ``HF_HUB_OFFLINE`` is set.
    """

    def __init__(self, endpoint: str | None, token: str | None):
        self.endpoint = (endpoint or constants.ENDPOINT).strip().rstrip("/")
        if is_offline_mode():
            raise DA3Error("Nothing is downloaded in offline mode: unset HF_HUB_OFFLINE and try again")
        if not is_address(self.endpoint):
            raise BadInput(f"The Hugging Face endpoint '{endpoint}' is no web address like https://huggingface.co")
        token = (token or "").strip() or None
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise BadInput("The Hugging Face token holds signs that no token has: copy it again")
        # Making the headers would else ask the public hub for a list of programs to count, whatever the endpoint is.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        self._headers = build_hf_headers(token=token, library_name="da3-blender")
        self._headers["Accept-Encoding"] = "identity"  # positions in the body are positions in the file
        self.host = urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def stated(self, repo: str) -> RemoteFile:
        """Ask for the newest revision of a model's file.

        Raises
        ------
        Transient
        DA3Error
            It will not be had, with the reason.
        """
        url = hf_hub_url(repo, FILE, endpoint=self.endpoint)
        http_session()  # what is wrong with it is told in a sentence
        try:
            found = get_hf_file_metadata(
                url, token=False, timeout=TIMEOUT, headers=self._headers, endpoint=self.endpoint  # type: ignore[arg-type]
            )  # fmt: skip
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self._explained(error, repo) from error
        if not found.commit_hash or not found.size or not re.fullmatch("[0-9a-f]{64}", found.etag or ""):
            raise DA3Error(
                f"{self.host} does not state size and SHA-256 of {repo}, so a download could not be checked: is the "
                "endpoint a Hugging Face hub?"
            )
        assert found.etag
        exact = hf_hub_url(repo, FILE, revision=found.commit_hash, endpoint=self.endpoint)
        return RemoteFile(exact, found.size, found.etag)

    def body(self, file: RemoteFile, start: int, repo: str) -> Iterator[int | bytes]:
        """The file from a position on: first the position where the body really starts (0 or ``start``), then bytes.

        Redirects are followed; the token stays behind when they lead to another host (httpx2 sees to that).

        Raises
        ------
        Transient, DA3Error
        """
        headers = self._headers | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with http_session().stream("GET", file.url, headers=headers, timeout=TIMEOUT) as response:
                if response.status_code == 416:  # it has fewer bytes than it stated
                    raise Transient(f"{self.host} sends another file than it stated: try again later")
                response.raise_for_status()
                yield begin(response, start)
                yield from response.iter_bytes()
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            raise self._explained(error, repo) from error

    def _explained(self, error: Exception, repo: str) -> Exception:
        if isinstance(error, HfHubHTTPError | httpx2.HTTPStatusError) and error.response is not None:
            return self._refusal(error, error.response, repo)
        return connection_problem(error, self.host, "the Hugging Face endpoint in the preferences")

    def _refusal(self, error: Exception, response: httpx2.Response, repo: str) -> Exception:
        status = response.status_code
        has_token = "authorization" in self._headers
        if isinstance(error, GatedRepoError) or response.headers.get("X-Error-Code") == "GatedRepo":
            return DA3Error(
                f"{repo} is gated: accept its licence on {self.host}, then enter an access token of that account in the "
                "preferences"
            )
        if status == 401 and has_token:
            return DA3Error(
                f"{self.host} does not accept the access token (401): correct or clear it in the preferences"
            )
        if status == 401:
            return DA3Error(
                f"{self.host} does not show {repo} without an access token (401): enter one in the preferences"
            )
        if status == 403:
            return DA3Error(f"{self.host} forbids {repo} (403): use an access token that may read it")
        if status in (404, 410):
            return DA3Error(f"{self.host} has no {FILE} of {repo} ({status}): it was moved or removed")
        if status == 429:
            return Transient(
                f"{self.host} gets too many requests from here (429): try again later", asked_wait(response)
            )
        if status == 408 or status >= 500:
            return Transient(f"{self.host} has a fault of its own ({status}): try again later", asked_wait(response))
        return DA3Error(f"{self.host} answers {status} for {repo}: try again later")


class HubFile:
    """A model's file on a hub: a ``source.Source``. Arguments as of ``Hub``, whose errors it raises."""

    def __init__(self, repo: str, endpoint: str | None, token: str | None):
        self._hub, self._repo = Hub(endpoint, token), repo

    def stated(self) -> RemoteFile:
        """See ``Hub.stated``."""
        return self._hub.stated(self._repo)

    def body(self, file: RemoteFile, start: int) -> Iterator[int | bytes]:
        """See ``Hub.body``."""
        return self._hub.body(file, start, self._repo)


def connection_problem(error: Exception, host: str, address: str) -> Exception:
    """What it means to a person that a host gave no answer; ``address``: what to look at where it leads nowhere."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.TooManyRedirects):
        return DA3Error(f"{host} leads nowhere ({reason}): check {address}")
    if isinstance(error, httpx2.ProxyError):
        return DA3Error(f"The network's proxy refuses {host} ({reason}): check HTTPS_PROXY")
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return DA3Error(
            f"{host} shows a certificate that is not trusted here ({reason}): where a company's proxy looks into the "
            "traffic, name the file of its certificates in SSL_CERT_FILE"
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Transient(f"{host} cannot be reached ({reason}): check the network", is_network=True)
    if isinstance(error, httpx2.TimeoutException):
        return Transient(f"{host} has stopped answering: try again later; what has arrived is kept")
    return Transient(f"The connection to {host} broke ({reason}): try again; what has arrived is kept")


def is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(
            parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"\s", text)
        )
    except ValueError:  # no number as port, half an IPv6 address
        return False


def begin(response: httpx2.Response, start: int) -> int:
    """Where in the file a body begins."""
    if response.status_code != 206:
        return 0  # a server that knows no ranges sends all of it
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise Transient("The server sent another part of the file than asked for: try again later")
    return start


def asked_wait(response: httpx2.Response) -> float:
    after = response.headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else 0.0
