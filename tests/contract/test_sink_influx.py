"""The sink against InfluxDB: what it sends, and what it does with each kind of answer.

The shapes of the requests and the odd answers come from a small recording server; what InfluxDB itself accepts and
refuses comes from the real one.
"""

import contextlib
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Outbox, point_line
from footfall_gateway.settings import InfluxSettings, Secret
from footfall_gateway.sink_influx import AwayError, InfluxSink, InfluxWriter, LinesRefusedError
from tests.servers import InfluxDB, free_port

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
LIMIT_S = 60


class Seen(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    token: str | None
    lines: list[str]


class Recorder:
    """An HTTP server that notes every request and answers as `answer(lines)` says: status, body, headers."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.answer: Callable[[list[str]], tuple[int, str, dict[str, str]]] = lambda _lines: (204, "", {})
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                url = urlsplit(self.path)
                lines = body.split("\n") if body else []
                token = self.headers.get("Authorization")
                recorder.seen.append(Seen("POST", url.path, parse_qs(url.query), token, lines))
                status, text, headers = recorder.answer(lines)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        yield Outbox(ledger)


@pytest.fixture
def sink(outbox):
    """Makes a sink whose thread is not started: tests call `deliver` where they want one step."""
    writers = []

    def make(url: str, batch_points: int = 1000, token: str | None = "a-token", **settings) -> InfluxSink:
        settings = {"bucket": "footfall", "timeout_s": LIMIT_S, **settings}
        writer = InfluxWriter(InfluxSettings(url=url, **settings), Secret(token) if token else None)
        writers.append(writer)
        return InfluxSink(writer, outbox, batch_points, lambda: NOW_MS, crashed)

    def crashed(error: BaseException) -> None:
        raise AssertionError from error

    yield make
    for writer in writers:
        writer.close()


def put_hours(outbox: Outbox, n: int, measurement: str = "footfall_hour") -> list[str]:
    """`n` points an hour apart; the lines in the order of the outbox."""
    lines = []
    for i in range(n):
        tags = {"site": "lab", "door": "main"}
        lines.append(point_line(measurement, tags, {"in": i, "out": 0}, NOW_MS + i * 3_600_000))
        outbox.put(f"{measurement} {i}", lines[-1], NOW_MS)
    return lines


def waiting(outbox: Outbox) -> list[str]:
    return [item.line for item in outbox.take(100_000)]


def rejected(outbox: Outbox) -> list[tuple[str, str]]:
    with outbox._database.reading() as sql:
        return sql.execute("SELECT line, reason FROM rejected ORDER BY rowid").fetchall()


# ------------------------------------------------------------------------------------------------ the requests


@pytest.mark.parametrize(
    ("base", "settings", "token", "path", "query", "authorization"),
    [
        (
            "",
            {"org": "town", "bucket": "footfall"},
            "abc==",
            "/api/v2/write",
            {"org": ["town"], "bucket": ["footfall"]},
            "Token abc==",
        ),
        (
            "",
            {"org": "-", "bucket": "footfall/autogen"},
            "user:pass word",
            "/api/v2/write",
            {"org": ["-"], "bucket": ["footfall/autogen"]},
            "Token user:pass word",
        ),
        (
            "",
            {"bucket": "footfall"},
            "apiv3_x",
            "/api/v2/write",
            {"org": ["-"], "bucket": ["footfall"]},
            "Token apiv3_x",
        ),
        (
            "/some/influx/",
            {"org": "Stadtbücherei & Co", "bucket": "zähler #1"},
            "abc",
            "/some/influx/api/v2/write",
            {"org": ["Stadtbücherei & Co"], "bucket": ["zähler #1"]},
            "Token abc",
        ),
        ("", {"bucket": "open"}, None, "/api/v2/write", {"org": ["-"], "bucket": ["open"]}, None),
    ],
    ids=["2.x", "1.8", "3 Core", "base path and odd names", "no token"],
)
def test_each_layout_has_its_request(
    recorder, outbox, sink, base, settings, token, path, query, authorization
):
    lines = put_hours(outbox, 3)
    assert sink(recorder.url + base, token=token, **settings).deliver() == 3
    (seen,) = recorder.seen
    assert (seen.method, seen.path, seen.token, seen.lines) == ("POST", path, authorization, lines)
    assert seen.query == {**query, "precision": ["ns"]}


def test_a_precision_in_nanoseconds_is_what_influxdb_reads_back(influxdb: InfluxDB, outbox, sink):
    influxdb.create_database("footfall")
    put_hours(outbox, 3)
    assert sink(influxdb.v2_url, bucket="footfall/autogen").deliver() == 3
    rows = influxdb.query('SELECT "in" FROM footfall_hour', "footfall", epoch="ms")
    assert rows == [{"time": NOW_MS + i * 3_600_000, "in": i} for i in range(3)]
    assert waiting(outbox) == []


def test_the_outbox_goes_in_order_in_requests_of_limited_size(recorder, outbox, sink):
    lines = put_hours(outbox, 25)
    one = sink(recorder.url, batch_points=10)
    assert [one.deliver() for _ in range(4)] == [10, 10, 5, 0]
    assert [line for seen in recorder.seen for line in seen.lines] == lines


# ------------------------------------------------------------------------------------------------- the answers


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, '{"code":"unauthorized","message":"unauthorized access"}', "does not accept the token (401"),
        (403, '{"code":"forbidden","message":"no"}', 'the token may not write to bucket "footfall" (403'),
        (
            404,
            '{"code":"not found","message":"bucket not found"}',
            'there is no bucket "footfall" in org "-" (404',
        ),
        (405, "", "answers 405"),
        (429, '{"message":"slow down"}', "answers 429"),
        (500, '{"message":"engine is on fire"}', "answers 500: engine is on fire"),
        (503, "", "answers 503"),
        (
            200,
            "<html>Welcome to the guest network</html>",
            "answers 200, which InfluxDB does not; look at url",
        ),
        (302, "", "answers 302"),
        (400, '{"message":"something else"}', "refuses every line (400: something else)"),
    ],
)
def test_what_is_not_the_fault_of_a_line_drops_nothing(recorder, outbox, sink, status, body, words):
    lines = put_hours(outbox, 5)
    recorder.answer = lambda _lines: (status, body, {})
    one = sink(recorder.url)
    with pytest.raises(AwayError) as caught:
        one.deliver()
    assert words in caught.value.reason
    assert waiting(outbox) == lines
    assert rejected(outbox) == []
    recorder.answer = lambda _lines: (204, "", {})
    assert one.deliver() == 5
    assert waiting(outbox) == []


def test_a_pause_that_influxdb_asks_for_is_kept(recorder, outbox, sink):
    put_hours(outbox, 1)
    recorder.answer = lambda _lines: (429, "", {"Retry-After": "17"})
    with pytest.raises(AwayError) as caught:
        sink(recorder.url).deliver()
    assert caught.value.wait_s == 17


@pytest.mark.parametrize("kind", ["refused", "silent", "cut", "unknown host", "not http"])
def test_no_answer_in_any_form_is_away_and_drops_nothing(outbox, sink, kind):
    lines = put_hours(outbox, 2)
    listener = socket.create_server(("127.0.0.1", 0)) if kind in ("silent", "cut", "not http") else None
    port = listener.getsockname()[1] if listener else free_port()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100_000)
            if kind == "silent":
                while connection.recv(100_000):  # until the client gives up
                    pass
            elif kind == "not http":
                connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")

    server = threading.Thread(target=serve)
    if listener:
        server.start()
    url = "http://no-such-host.invalid:8086" if kind == "unknown host" else f"http://127.0.0.1:{port}"
    one = sink(url, timeout_s=1)
    with pytest.raises(AwayError) as caught:
        one.deliver()
    expected = {
        "refused": "connection refused",
        "silent": "no answer within 1 s",
        "cut": "the connection broke off",
        "unknown host": "host name is not known",
        "not http": "the connection broke off",
    }
    assert expected[kind] in caught.value.reason
    assert waiting(outbox) == lines
    if listener:
        server.join(LIMIT_S)
        listener.close()


def refuse_bad(lines: list[str]) -> tuple[int, str, dict[str, str]]:
    if any("bad" in line for line in lines):
        return 400, '{"code":"invalid","message":"unable to parse: invalid field format"}', {}
    return 204, "", {}


@pytest.mark.parametrize("bad_at", [(0,), (4,), (9,), (0, 9), (3, 4, 5), tuple(range(10))])
def test_bad_lines_are_found_and_set_aside_and_the_others_stored_in_order(recorder, outbox, sink, bad_at):
    lines = []
    for i in range(10):
        lines.append(f"footfall_hour,site=lab in={i}i {NOW_MS}000000" + ("bad" if i in bad_at else ""))
        outbox.put(str(i), lines[-1], NOW_MS)
    recorder.answer = refuse_bad
    assert sink(recorder.url).deliver() == 10
    stored = [line for seen in recorder.seen if refuse_bad(seen.lines)[0] == 204 for line in seen.lines]
    assert stored == [line for i, line in enumerate(lines) if i not in bad_at]
    assert [line for line, _ in rejected(outbox)] == [lines[i] for i in bad_at]
    assert all(reason == "400: unable to parse: invalid field format" for _, reason in rejected(outbox))
    assert outbox.rejected() == len(bad_at)
    assert waiting(outbox) == []


def test_a_400_in_unknown_words_counts_against_a_line_only_if_another_was_taken(recorder, outbox, sink):
    def answer(lines: list[str]) -> tuple[int, str, dict[str, str]]:
        return (400, '{"message":"no idea"}', {}) if any("bad" in line for line in lines) else (204, "", {})

    recorder.answer = answer
    outbox.put("a", f"bad in=1i {NOW_MS}000000", NOW_MS)
    one = sink(recorder.url)
    with pytest.raises(AwayError):
        one.deliver()
    assert outbox.depth() == 1
    outbox.put("b", f"good in=1i {NOW_MS}000000", NOW_MS)
    assert one.deliver() == 2
    assert [line for line, _ in rejected(outbox)] == [f"bad in=1i {NOW_MS}000000"]


def test_a_request_that_is_too_large_is_halved_until_it_fits(recorder, outbox, sink):
    lines = put_hours(outbox, 16)
    recorder.answer = lambda lines: (413, "", {}) if len(lines) > 3 else (204, "", {})
    assert sink(recorder.url).deliver() == 16
    assert [line for seen in recorder.seen if len(seen.lines) <= 3 for line in seen.lines] == lines
    assert rejected(outbox) == []


def test_influxdb_away_in_the_middle_of_the_search_leaves_what_is_not_decided(recorder, outbox, sink):
    for i in range(8):
        outbox.put(str(i), f"footfall_hour in={i}i {NOW_MS}000000" + ("bad" if i == 5 else ""), NOW_MS)
    requests = iter(range(100))
    recorder.answer = lambda lines: (503, "", {}) if next(requests) == 3 else refuse_bad(lines)
    one = sink(recorder.url)
    with pytest.raises(AwayError):
        one.deliver()
    assert rejected(outbox) == []
    assert len(waiting(outbox)) == 4  # the first half was stored before
    assert one.deliver() == 4
    assert len(rejected(outbox)) == 1


# --------------------------------------------------------------------------------------------- the real InfluxDB


def test_a_missing_database_is_waited_for(influxdb: InfluxDB, outbox, sink):
    put_hours(outbox, 3)
    one = sink(influxdb.v2_url, bucket="footfall/autogen")
    with pytest.raises(AwayError) as caught:
        one.deliver()
    assert 'there is no bucket "footfall/autogen"' in caught.value.reason
    influxdb.create_database("footfall")
    assert one.deliver() == 3


def test_a_field_of_another_type_is_set_aside_with_influxdbs_own_words(influxdb: InfluxDB, outbox, sink):
    influxdb.create_database("footfall")
    influxdb.write("footfall", f"occupancy,site=lab persons=1.5 {NOW_MS}000000")
    put_hours(outbox, 3)
    outbox.put("o", point_line("occupancy", {"site": "lab"}, {"persons": 3}, NOW_MS + 1), NOW_MS)
    outbox.put("p", point_line("footfall_hour", {"site": "lab"}, {"in": 9}, NOW_MS + 1), NOW_MS)
    assert sink(influxdb.v2_url).deliver() == 5
    ((line, reason),) = rejected(outbox)
    assert line.startswith("occupancy")
    assert "field type conflict" in reason
    assert influxdb.query('SELECT count("in") FROM footfall_hour', "footfall")[0]["count"] == 4


def test_points_older_than_the_retention_do_not_hold_up_the_others(influxdb: InfluxDB, outbox, sink):
    influxdb.query('CREATE DATABASE "footfall" WITH DURATION 30d REPLICATION 1 NAME "month"')
    outbox.put("old", point_line("footfall_hour", {"site": "lab"}, {"in": 1}, 1_000_000_000_000), NOW_MS)
    # well in the future of any clock that runs this test
    outbox.put("new", point_line("footfall_hour", {"site": "lab"}, {"in": 2}, 4_000_000_000_000), NOW_MS)
    assert sink(influxdb.v2_url, bucket="footfall/month").deliver() == 2
    ((line, reason),) = rejected(outbox)
    assert "in=1i" in line
    assert "retention policy" in reason


def test_an_answer_that_was_lost_makes_no_doubles(influxdb: InfluxDB, outbox, sink):
    influxdb.create_database("footfall")
    put_hours(outbox, 10)
    influxdb.proxy.lose_answers(3)
    one = sink(influxdb.v2_url)
    for _ in range(3):
        with pytest.raises(AwayError):
            one.deliver()
    assert one.deliver() == 10
    assert influxdb.query('SELECT count("in"), sum("in") FROM footfall_hour', "footfall") == [
        {"time": 0, "count": 10, "sum": 45}
    ]


def test_an_empty_write_tells_whether_influxdb_is_there_and_writes_nothing(influxdb: InfluxDB):
    influxdb.create_database("footfall")
    writer = InfluxWriter(InfluxSettings(url=influxdb.v2_url, bucket="footfall/autogen"), None)
    try:
        with contextlib.suppress(LinesRefusedError):
            writer.write([])
        assert influxdb.query("SHOW MEASUREMENTS", "footfall") == []
    finally:
        writer.close()


def test_https_towards_a_port_without_tls_is_told(recorder, outbox, sink):
    put_hours(outbox, 1)
    with pytest.raises(AwayError) as caught:
        sink(recorder.url.replace("http", "https")).deliver()
    assert "no TLS connection; should url begin with http://?" in caught.value.reason


def test_https_is_checked_against_the_given_authority(outbox, sink, ca, tmp_path):
    certificate = ca.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    recorder = Recorder(context)
    try:
        put_hours(outbox, 2)
        with pytest.raises(AwayError) as caught:
            sink(recorder.url).deliver()
        assert "its TLS certificate is not accepted; look at ca_file and url" in caught.value.reason
        with pytest.raises(AwayError) as caught:
            sink(recorder.url.replace("https", "http")).deliver()
        assert "the connection broke off" in caught.value.reason
        assert sink(recorder.url, ca_file=tmp_path / "ca.pem").deliver() == 2
    finally:
        recorder.close()


# ------------------------------------------------------------------------------------------------- the thread


def test_the_thread_says_once_that_influxdb_is_away_and_once_that_it_is_back(
    recorder, outbox, sink, caplog, monkeypatch
):
    monkeypatch.setattr("footfall_gateway.sink_influx.RETRY_FIRST_S", 0.01)
    monkeypatch.setattr("footfall_gateway.sink_influx.RETRY_LIMIT_S", 0.02)
    caplog.set_level(logging.INFO, "footfall_gateway")
    put_hours(outbox, 3)
    tried = threading.Semaphore(0)
    back = threading.Event()

    def answer(_lines: list[str]) -> tuple[int, str, dict[str, str]]:
        tried.release()
        return (204, "", {}) if back.is_set() else (503, json.dumps({"message": "busy"}), {})

    recorder.answer = answer
    one = sink(recorder.url)
    one.start()
    for _ in range(10):
        assert tried.acquire(timeout=LIMIT_S)
    assert one.trouble == "answers 503: busy"
    back.set()
    for _ in range(LIMIT_S * 100):
        if outbox.depth() == 0 and one.trouble is None:
            break
        threading.Event().wait(0.01)
    one.stop()
    assert outbox.depth() == 0
    words = [record.message for record in caplog.records]
    assert [line for line in words if "busy" in line] == [
        f"InfluxDB {recorder.url}: answers 503: busy; trying again until it works"
    ]
    assert sum("works again after" in line for line in words) == 1


def test_an_influxdb_that_does_not_answer_does_not_hold_up_the_end(outbox, sink, monkeypatch):
    monkeypatch.setattr("footfall_gateway.sink_influx.LEAVE_S", 0.1)
    put_hours(outbox, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = sink(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=60)
        one.start()
        connection, _ = listener.accept()
        with connection:
            one.stop()  # returns, although InfluxDB has 60 s to answer
            assert outbox.depth() == 1
    one._thread.join(LIMIT_S)
    assert not one._thread.is_alive()


def test_neither_the_log_nor_a_representation_shows_the_token(recorder, outbox, sink, caplog):
    caplog.set_level(logging.DEBUG)
    put_hours(outbox, 1)
    recorder.answer = lambda _lines: (401, '{"message":"unauthorized"}', {})
    one = sink(recorder.url, token="very-secret-token")
    with pytest.raises(AwayError) as caught:
        one.deliver()
    assert "very-secret-token" not in caplog.text + caught.value.reason + repr(vars(one))
