"""A front for InfluxDB 1.6 that accepts the v2 writes of influxdb-client; for tests only.

InfluxDB answers `/api/v2/write` from 1.8 on, Debian has 1.6.7. The front turns such a write into the `/write` that 1.6.7
knows, and passes everything else on as it is. The bucket is `database` or `database/retention-policy`.

It can also be the bad server that a sink must survive: `answer_instead` refuses the next writes, `lose_answers` lets them
through to InfluxDB and cuts the connection before the answer, so that the client cannot know.
"""

import contextlib
import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

HOST = "127.0.0.1"
BACKEND_TIMEOUT_S = 60
V1_PRECISION = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}
V2_ERROR_CODES = {400: "invalid", 401: "unauthorized", 404: "not found", 413: "request too large"}
PASSED_HEADERS = ("Content-Type", "Content-Encoding", "Accept", "Accept-Encoding")


class InfluxV2Proxy:
    """The front's server: one thread per connection, the same port at every start."""

    def __init__(
        self, backend: Callable[[], tuple[str, int]], *, port: int, token: str | None = None
    ) -> None:
        """`backend` tells where InfluxDB listens; with `token`, v2 writes without it are refused with 401."""
        self.port = port
        self.writes = 0  # v2 writes that came in, refused ones included
        self._backend = backend
        self._token = token
        self._server: _FrontServer | None = None
        self._guard = threading.Lock()
        self._instead: list[int] = []
        self._lose = 0

    def start(self) -> None:
        if self._server is not None:
            return
        self._server = _FrontServer((HOST, self.port), self)

    def stop(self) -> None:
        """Close the port and cut what is connected, as if the server had been killed."""
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def answer_instead(self, status: int, times: int = 1) -> None:
        """Answer the next `times` writes with this HTTP status and do not pass them on."""
        with self._guard:
            self._instead += [status] * times

    def lose_answers(self, times: int = 1) -> None:
        """Pass the next `times` writes on, then cut the connection instead of answering."""
        with self._guard:
            self._lose += times

    def handle(self, request: "_Request") -> None:
        url = urlsplit(request.path)
        if url.path == "/health":
            request.answer(200, b'{"name":"influxdb","status":"pass","version":"1.6.7"}')
        elif url.path == "/api/v2/write" and request.command == "POST":
            self._write(request, parse_qs(url.query))
        else:
            self._pass_on(request, request.path)

    def _write(self, request: "_Request", query: dict[str, list[str]]) -> None:
        with self._guard:
            self.writes += 1
            instead = self._instead.pop(0) if self._instead else None
            lose = instead is None and self._lose > 0
            self._lose -= lose
        if instead is not None:
            request.refuse(instead, f"status {instead}, as the test asked for")
            return
        if self._token is not None and request.headers.get("Authorization") != f"Token {self._token}":
            request.refuse(401, "unauthorized access")
            return
        bucket = query.get("bucket", [""])[0]
        precision = query.get("precision", ["ns"])[0]
        if not bucket or precision not in V1_PRECISION:
            request.refuse(400, f"bucket {bucket!r} or precision {precision!r} is not valid")
            return
        database, _, policy = bucket.partition("/")
        target = {"db": database, "precision": V1_PRECISION[precision]}
        if policy:
            target["rp"] = policy
        self._pass_on(request, f"/write?{urlencode(target)}", lose=lose)

    def _pass_on(self, request: "_Request", path: str, *, lose: bool = False) -> None:
        headers = {name: request.headers[name] for name in PASSED_HEADERS if name in request.headers}
        connection = http.client.HTTPConnection(*self._backend(), timeout=BACKEND_TIMEOUT_S)
        try:
            connection.request(request.command, path, body=request.body, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            request.cut()  # InfluxDB is away or was killed meanwhile: its client would see just this
            return
        finally:
            connection.close()
        if lose:
            request.cut()
        elif response.status >= 400 and path.startswith("/write"):
            request.refuse(response.status, _v1_error(content))
        else:
            kept = {
                name: value
                for name in ("Content-Type", "Content-Encoding")
                if (value := response.getheader(name))
            }
            request.answer(response.status, content, kept)


class _FrontServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], proxy: InfluxV2Proxy) -> None:
        super().__init__(address, _Request)
        self.proxy = proxy
        self._connected: set[socket.socket] = set()
        self._connected_guard = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name="influx-v2-proxy", daemon=True
        )
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connected_guard:
            self._connected.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connected_guard:
            self._connected.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the test's business; anything else would be a fault in this file."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def end(self) -> None:
        self.shutdown()
        with self._connected_guard:
            connected = list(self._connected)
        for connection in connected:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # influxdb-client keeps its connections
    server: _FrontServer
    body: bytes | None

    def _handle(self) -> None:
        length = self.headers.get("Content-Length")
        self.body = self.rfile.read(int(length)) if length else None
        self.server.proxy.handle(self)

    do_GET = do_POST = do_HEAD = _handle  # noqa: N815 - names that http.server calls

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        if status != http.client.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != http.client.NO_CONTENT and self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, message: str) -> None:
        code = V2_ERROR_CODES.get(status, "internal error" if status >= 500 else "refused")
        self.answer(status, json.dumps({"code": code, "message": message}).encode())

    def cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass


def _v1_error(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError):
        return content.decode(errors="replace")
