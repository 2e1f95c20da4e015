"""A Hugging Face hub on the loopback: its protocol for downloading files, and every way in which that goes wrong.

As on the real one, ``/<repo>/resolve/<revision>/<file>`` answers HEAD and GET with a redirect to another host (here: another
port), and states size, SHA-256 and commit in headers of that redirect; the other host serves ranges, knows nothing of tokens,
and names an ETag of its own.

Run as a program it serves random models until its standard input ends, for tests that drive a window:
``python tests/support/hub.py REPO=MEGABYTES ... [--rate BYTES_PER_SECOND]`` prints its endpoint as the first line.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 16 << 10  # bytes sent at a time


def safetensors(size: int, seed: int = 0) -> bytes:
    """A whole safetensors file of exactly that many bytes, with one tensor of random ones."""
    room = size - 8 - 128
    header = json.dumps({"weight": {"dtype": "U8", "shape": [room], "data_offsets": [0, room]}}).encode().ljust(128)
    block = hashlib.sha512(str(seed).encode()).digest()
    rest = b"".join(hashlib.sha512(block + i.to_bytes(8, "little")).digest() for i in range(room // 64 + 1))
    return struct.pack("<Q", len(header)) + header + rest[:room]


@dataclass
class Seen:
    """A request, and how much of the file it got."""

    host: str  # "hub" or "store"
    method: str
    path: str
    start: int | None  # of the range asked for
    token: str | None
    sent: int = 0


@dataclass
class Answer:
    """What the next requests get instead of the file."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    host: str = "hub"
    times: int = 1  # -1: always


@dataclass
class Repo:
    """A repository's file as the store has it, and what the hub states about it."""

    content: bytes
    sha256: str
    size: int
    commit: str


class Hub:
    """The server; a context manager. Its attributes are its manners, to be changed at any time.

    ``cut_at`` and ``stall_at`` are positions in the file: when it was sent up to there, the connection is cut (once each), or
    nothing more comes, on this and all later requests, until the position is set to None.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.seen: list[Seen] = []
        self.answers: list[Answer] = []
        self.token: str | None = None  # that must be shown; None: none needed
        self.cut_at: list[int] = []
        self.stall_at: int | None = None
        self.stall_before_headers = False
        self.stalled = threading.Event()
        self.rate: float | None = None  # bytes per second
        self.knows_ranges = True
        self.states_hash = True
        self._closed = threading.Event()
        self._servers = [self._start("hub"), self._start("store")]
        self.endpoint, self.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def serve(self, repo: str, content: bytes, sha256: str | None = None, size: int | None = None) -> None:
        """Have this file in a repository; a second call is a new revision. ``sha256`` and ``size`` are for false claims."""
        true = hashlib.sha256(content).hexdigest()
        commit = hashlib.sha1(content).hexdigest()
        self.repos[repo] = Repo(content, sha256 or true, len(content) if size is None else size, commit)

    def fail(self, status: int, times: int = 1, host: str = "hub", **headers: str) -> None:
        """Answer the next requests with an error. Underscores in header names are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Answer(status, named, host, times))

    @property
    def sent(self) -> int:
        """Bytes of files that were sent, in all."""
        return sum(seen.sent for seen in self.seen)

    def requests(self, host: str, method: str = "GET") -> list[Seen]:
        return [seen for seen in self.seen if (seen.host, seen.method) == (host, method)]

    def wait_here(self, until: float | None = None) -> None:
        """On a request's thread: stall until the hub closes, or until nobody wants a stall any more."""
        while not self._closed.is_set() and (until is None or time.monotonic() < until):
            if until is None and self.stall_at is None and not self.stall_before_headers:
                return
            self._closed.wait(0.02)

    def next_answer(self, host: str) -> Answer | None:
        for answer in self.answers:
            if answer.host == host and answer.times:
                answer.times -= 1
                return answer
        return None

    def _start(self, host: str) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "host": host})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Tests look at ``Hub.seen``."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the one who asked has gone, which tests do on purpose
            super().handle()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        seen = Seen(self.host, self.command, self.path, int(asked[1]) if asked else None, token)
        hub.seen.append(seen)
        if hub.stall_before_headers:
            hub.stalled.set()
            hub.wait_here()
        if answer := hub.next_answer(self.host):
            return self._reply(answer.status, answer.headers)
        if self.host == "hub":
            self._resolve(token)
        else:
            self._file(seen)

    def _reply(self, status: int, headers: dict[str, str], body_size: int = 0) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(body_size)} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _resolve(self, token: str | None) -> None:
        match = re.fullmatch(r"/(.+)/resolve/([^/]+)/model\.safetensors", self.path)
        repo = self.hub.repos.get(match[1]) if match else None
        if self.hub.token and token != self.hub.token:
            message = "Invalid credentials in Authorization header" if token else "Invalid username or password."
            return self._reply(401, {"X-Error-Message": message})
        if repo is None or match is None:
            return self._reply(404, {"X-Error-Code": "RepoNotFound" if match else "EntryNotFound"})
        if match[2] not in ("main", repo.commit):
            return self._reply(404, {"X-Error-Code": "RevisionNotFound"})
        stated = {"X-Linked-Size": str(repo.size), "X-Linked-ETag": f'"{repo.sha256}"'} if self.hub.states_hash else {}
        location = {"Location": f"{self.hub.store}/{match[1]}?signature=1"}
        self._reply(302, {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"} | stated | location)

    def _file(self, seen: Seen) -> None:
        content = self.hub.repos[self.path.partition("?")[0].strip("/")].content
        start = seen.start if seen.start is not None and self.hub.knows_ranges else None
        if start is not None and start >= len(content):
            return self._reply(416, {"Content-Range": f"bytes */{len(content)}"})
        headers = {"ETag": '"of-the-store"'}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._reply(200 if start is None else 206, headers, len(content) - (start or 0))
        if self.command == "GET":
            self._send(content, start or 0, seen)

    def _send(self, content: bytes, position: int, seen: Seen) -> None:
        hub = self.hub
        begun = time.monotonic()
        while True:
            if position in hub.cut_at:
                hub.cut_at.remove(position)
                # A reset and no end-of-file, as a broken line gives.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()  # it holds the socket open
                self.connection.close()
                self.close_connection = True
                raise ConnectionAbortedError
            if hub.stall_at is not None and position >= hub.stall_at:
                hub.stalled.set()
                hub.wait_here()
            if position == len(content):
                return
            stops = [stop for stop in (*hub.cut_at, hub.stall_at) if stop is not None and stop > position]
            end = min(position + PIECE, len(content), *stops)
            self.wfile.write(content[position:end])
            seen.sent += end - position
            position = end
            if hub.rate:
                hub.wait_here(until=begun + seen.sent / hub.rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="REPO=MEGABYTES")
    parser.add_argument("--rate", type=float)
    arguments = parser.parse_args()
    with Hub() as hub:
        for text in arguments.files:
            repo, _, megabytes = text.partition("=")
            hub.serve(repo, safetensors(int(float(megabytes) * 1e6)))
        hub.rate = arguments.rate
        print(hub.endpoint, flush=True)
        while os.read(sys.stdin.fileno(), 1024):
            continue


if __name__ == "__main__":
    main()
