"""Real servers for the tests: mosquitto and InfluxDB, each in a folder and on a port of its own.

Tests get them from the fixtures in `conftest.py`, or use the classes as context managers. A server keeps its port, its
data and its log through `kill()` (SIGKILL, as a power cut would) and `start()`, so a test can take it away and bring it
back. What a server wrote to its log is in `log_file`; a failing test shows the end of it.
"""

import base64
import hashlib
import itertools
import json
import os
import random
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import trustme

from footfall_simulator import parts
from tests.influx_v2_proxy import InfluxV2Proxy

HOST = "127.0.0.1"
READY_WITHIN_S = 60  # a loaded machine may take its time; a server that ends by itself is noticed at once
STOPPED_WITHIN_S = 20
# Below the kernel's own choice, so that no passing connection takes a stopped server's port; and a stretch for each worker, so
# that no other test does
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
PORTS = range(20_000 + 1500 * _WORKER, 21_500 + 1500 * _WORKER)
START_ATTEMPTS = 5  # another test may have taken the port between looking and listening


class ServerError(Exception):
    """A server did not start or did not answer as expected; the text has the end of its log."""


_ports = itertools.cycle(random.sample(PORTS, len(PORTS)))


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on at this moment, and that no other test of this run is given for long."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


class Server(ABC):
    """A program with a port: started, stopped, killed and started again by its process id."""

    name = "server"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_file = folder / f"{self.name}.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._was_up = False
        self._guard = threading.RLock()  # a test's chaos thread may restart what the test is stopping

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start, or start again after stop() or kill(), on the same port and data; returns when it answers."""
        with self._guard:
            if self.running:
                return
            for attempt in range(1, START_ATTEMPTS + 1):
                argv = self._prepare()
                with self.log_file.open("ab") as log:
                    self._process = subprocess.Popen(
                        argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                    )
                if self._wait_until_ready():
                    self._was_up = True
                    return
                if self._was_up or attempt == START_ATTEMPTS:
                    break
                self.port = free_port()
            raise ServerError(f"{self.name} ended while starting:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait; killed if it does not."""
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        self._end(lambda process: process.kill())

    def restart(self) -> None:
        self.stop()
        self.start()

    def log_tail(self, lines: int = 20) -> str:
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Write the configuration for the present port; the argv to start."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves requests by now."""

    def _end(self, by: Any) -> None:
        with self._guard:
            process, self._process = self._process, None
            if process is None:
                return
            if process.poll() is None:
                by(process)
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_ready(self) -> bool:
        """True when it answers, False when it ended by itself; ServerError when neither happens in time."""
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            answers = self._answers()
            if self._process.poll() is not None:
                return False  # what answered, if anything did, was somebody else on this port
            if answers:
                return True
            time.sleep(0.02)
        self.kill()
        raise ServerError(f"{self.name} did not answer within {READY_WITHIN_S} s:\n{self.log_tail()}")


class Mosquitto(Server):
    """The mosquitto broker.

    `ca`      with a trustme CA the port speaks TLS only; the CA's certificate is in `ca_file` (PEM) and `ca_der_file`
    `users`   name -> password; without, anybody may connect
    `acl`     the text of an ACL file
    `persistence`  whether sessions, queued and retained messages survive a stop (a kill loses what was not yet saved)
    `settings`     further lines of mosquitto.conf
    """

    name = "mosquitto"

    def __init__(
        self,
        folder: Path,
        *,
        ca: trustme.CA | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        persistence: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.host = HOST
        self.ca_file: Path | None = None
        self.ca_der_file: Path | None = None
        self._part = parts.find("mosquitto")
        self._lines = ["set_tcp_nodelay true", "log_dest stdout", f"allow_anonymous {_yes_no(users is None)}"]
        if os.geteuid() == 0:
            self._lines.append("user root")  # it would change to a user that cannot read this folder
        if ca is not None:
            self._use_tls(ca)
        if users is not None:
            self._lines.append(f"password_file {self._write('passwords', _password_file(users))}")
        if acl is not None:
            self._lines.append(f"acl_file {self._write('acl', acl)}")
        if persistence:
            self._lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
        self._lines += settings

    def _use_tls(self, ca: trustme.CA) -> None:
        certificate = ca.issue_cert("localhost", HOST)
        self.ca_file = self._write("ca.pem", ca.cert_pem.bytes())
        self.ca_der_file = self._write("ca.der", _der(ca.cert_pem.bytes()))
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        self._lines += [
            f"certfile {self._write('server.pem', chain)}",
            f"keyfile {self._write('server.key', certificate.private_key_pem.bytes())}",
        ]

    def _write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _prepare(self) -> list[str]:
        # The listener comes first: certificates belong to the listener above them
        config = self._write(
            "mosquitto.conf", "\n".join([f"listener {self.port} {HOST}", *self._lines]) + "\n"
        )
        return self._part.argv("-c", str(config))

    def _answers(self) -> bool:
        return _accepts_connections(self.port)


class InfluxDB(Server):
    """InfluxDB 1.6.7, with a front that speaks the part of the v2 API which this version does not have yet.

    `url` is InfluxDB itself (`/write`, `/query`), `v2_url` the front that influxdb-client can talk to. When InfluxDB is
    killed, the front's port is closed too, as both were one server.
    """

    name = "influxd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._part = parts.find("influxdb")
        self._rpc_port = free_port()
        self.proxy = InfluxV2Proxy(lambda: (HOST, self.port), port=free_port())

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def v2_url(self) -> str:
        return f"http://{HOST}:{self.proxy.port}"

    def start(self) -> None:
        with self._guard:
            first = not self._was_up
            super().start()
            while True:
                try:
                    self.proxy.start()
                except OSError:
                    if not first:
                        raise
                    self.proxy.port = free_port()  # somebody was quicker
                else:
                    return

    def _end(self, by: Any) -> None:
        with self._guard:
            self.proxy.stop()
            super()._end(by)

    def create_database(self, name: str) -> None:
        self.query(f'CREATE DATABASE "{name}"')

    def write(self, database: str, lines: str, precision: str = "ns") -> None:
        """Write line protocol straight to InfluxDB; precision as in 1.x: ns, u, ms, s."""
        where = urllib.parse.urlencode({"db": database, "precision": precision})
        self._request(f"/write?{where}", lines.encode())

    def query(self, influxql: str, database: str = "", epoch: str = "ms") -> list[dict[str, Any]]:
        """The result's rows of all series, each a dict of its columns and its series' tags; times as epoch numbers."""
        form = {"q": influxql, "db": database, "epoch": epoch}
        answer = json.loads(self._request("/query", urllib.parse.urlencode(form).encode()))
        rows = []
        for result in answer["results"]:
            if "error" in result:
                raise ServerError(f"{influxql}: {result['error']}")
            if result.get("partial"):
                raise ServerError(f"{influxql}: the answer is longer than one response")
            for series in result.get("series", ()):
                if series.get("partial"):
                    raise ServerError(f"{influxql}: the answer is longer than one response")
                rows += [
                    {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
                    for values in series.get("values", ())
                ]
        return rows

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body)
        try:
            with _without_proxies.open(request, timeout=READY_WITHIN_S) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from None

    def _prepare(self) -> list[str]:
        if not self._was_up:
            self._rpc_port = free_port()
        config = self.folder / "influxdb.conf"
        config.write_text(
            "reporting-disabled = true\n"
            f'bind-address = "{HOST}:{self._rpc_port}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\nquery-log-enabled = false\n'
            "[monitor]\nstore-enabled = false\n"
            f'[http]\nbind-address = "{HOST}:{self.port}"\nlog-enabled = false\n'
        )
        return self._part.argv("-config", str(config))

    def _answers(self) -> bool:
        try:
            self._request("/ping")
        except (OSError, ServerError):
            return False
        return True


_without_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=5):
            return True
    except OSError:
        return False


def _password_file(users: Mapping[str, str]) -> str:
    """mosquitto's own format ($7$: PBKDF2 with SHA-512), so that no password stands in an argument list."""
    iterations = 101  # mosquitto_passwd's default
    lines = []
    for name, password in users.items():
        salt = secrets.token_bytes(12)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
        salt_text, digest_text = base64.b64encode(salt).decode(), base64.b64encode(digest).decode()
        lines.append(f"{name}:$7${iterations}${salt_text}${digest_text}\n")
    return "".join(lines)


def _der(pem: bytes) -> bytes:
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
    return base64.b64decode(body)


def _yes_no(value: object) -> str:
    return "true" if value else "false"
