"""Carries the outbox to InfluxDB, in order, until it is empty, for as many days as that takes. A thread of the service.

One request at a time, synchronously: influxdb-client's batching mode drops points after its retries (measured: 277 of
6,259 in an outage of 7 s). A line leaves the outbox when InfluxDB has said 204, or is set aside with the reason when
it is the line itself that InfluxDB will never take. Writing a line twice is harmless: same series, same time.

What an answer means:

    204                             stored
    no answer, 5xx, 429             away: wait, longer each time, try the same lines again
    401, 403, 404, other            a setting is wrong, here or there: wait too, and say what to look at. Nothing is
                                    dropped because somebody deleted a token
    400, 413, 422                   something in the lines: halve them until the bad ones stand alone, set those aside

The layouts, all through `/api/v2/write?org=&bucket=&precision=ns` with `Authorization: Token <token>`:

    InfluxDB 1.8 and later 1.x      bucket "database/retention-policy", org "-", token "user:password"
    InfluxDB 2                      bucket, org and token as its own pages show them
    InfluxDB 3 Core                 bucket is the database, org is ignored, token as it is
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import urllib3.exceptions
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from footfall_gateway.database import LedgerError
from footfall_gateway.outage import Backoff, Outage
from footfall_gateway.settings import InfluxSettings, Secret
from footfall_gateway.toml_reader import reason

__all__ = ["AwayError", "InfluxSink", "InfluxWriter", "Line", "LinesRefusedError", "Waiting"]

RETRY_FIRST_S, RETRY_LIMIT_S = 0.5, 60.0
LOOK_S = 1.0  # how often an empty outbox is looked at when nobody says that there is something new
LEAVE_S = 5.0  # how long `stop` waits for an InfluxDB that does not answer
MAX_SHOWN = 200  # characters of InfluxDB's own words in a log line or a rejection

# Words by which 1.x, 2 and 3 say that a line can never be stored. A 400 without any of them is held against the lines
# only if InfluxDB took another line at the same time: else it may be a setting, and then nothing must be set aside.
FAULT_OF_THE_LINE = (
    "unable to parse",
    "field type conflict",
    "conflict",
    "beyond retention",
    "outside retention",
    "retention policy",
    "time outside range",
    "invalid field",
    "invalid tag",
    "missing fields",
    "line protocol",
    "max-series-per-database",
    "max-values-per-tag",
)

log = logging.getLogger(__name__)


class Line(Protocol):
    """What the sink needs of an outbox item."""

    @property
    def id(self) -> int: ...
    @property
    def line(self) -> str: ...


class Waiting(Protocol):
    """The outbox as the sink sees it; `footfall_gateway.outbox.Outbox` is one."""

    def take(self, limit: int, /) -> Sequence[Line]: ...
    def done(self, ids: Sequence[int], /) -> None: ...
    def reject(self, item_id: int, reason: str, now_ms: int, /) -> None: ...


class AwayError(Exception):
    """InfluxDB takes nothing now; `reason` says why, for people. `wait_s`: it asked for this pause."""

    def __init__(self, reason: str, *, wait_s: float | None = None, setting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.setting = setting  # someone has to correct something; time alone does not help


class LinesRefusedError(Exception):
    """InfluxDB found fault with these lines (400, 413, 422); `reason` in its own words."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.certain = certain  # it is a line, not a setting


class InfluxWriter:
    """One InfluxDB and its bucket. `write` either stores all lines or raises `AwayError` or `LinesRefusedError`."""

    def __init__(self, settings: InfluxSettings, token: Secret | None) -> None:
        self._settings = settings
        self._client = InfluxDBClient(
            url=settings.url.rstrip("/"),
            token=token.reveal() if token else "",
            org=settings.org,
            timeout=settings.timeout_s * 1000,
            verify_ssl=True,
            ssl_ca_cert=str(settings.ca_file) if settings.ca_file else None,
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    @property
    def name(self) -> str:
        return f"InfluxDB {self._settings.url}"

    def write(self, lines: Sequence[str]) -> None:
        try:
            self._api.write(
                self._settings.bucket,
                self._settings.org,
                "\n".join(lines).encode(),
                WritePrecision.NS,  # type: ignore[arg-type]  # the library's own constant is a str
            )
        except ApiException as error:
            raise self._meaning(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise AwayError(_connection_failure(error, self._settings), setting=False) from None
        status = self._client.api_client.last_response.status
        if (
            status != 204
        ):  # a portal or another program that says "fine" to everything would swallow the counts
            raise AwayError(f"answers {status}, which InfluxDB does not; look at url", setting=True)

    def close(self) -> None:
        self._api.close()
        self._client.close()

    def _meaning(self, error: ApiException) -> AwayError | LinesRefusedError:
        if not error.status:  # the library's own dress for an SSLError
            return _tls_failure(error)
        status, words = error.status, _words(error)
        if status in (400, 422, 413):
            certain = status == 422 or any(fault in words.lower() for fault in FAULT_OF_THE_LINE)
            return LinesRefusedError(f"{status}: {words}", certain=certain)
        if status == 429 or status >= 500:
            return AwayError(f"answers {status}: {words}", wait_s=_retry_after_s(error))
        bucket, org = self._settings.bucket, self._settings.org
        hints = {
            401: f"does not accept the token (401: {words}); look at token_file",
            403: f'the token may not write to bucket "{bucket}" (403: {words})',
            404: f'there is no bucket "{bucket}" in org "{org}" (404: {words}); create it, or look at bucket, org and url',
        }
        return AwayError(hints.get(status, f"answers {status}: {words}; look at url"), setting=True)


class InfluxSink:
    """The thread that empties the outbox. `now_ms` dates rejections; `crashed` gets what nothing expected."""

    def __init__(
        self,
        writer: InfluxWriter,
        outbox: Waiting,
        batch_points: int,
        now_ms: Callable[[], int],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._writer = writer
        self._outbox = outbox
        self._batch_points = batch_points
        self._now_ms = now_ms
        self._crashed = crashed
        self._outage = Outage(writer.name, log)
        self._aside: list[str] = []  # what was set aside and not yet told
        self._stop = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="influxdb", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why nothing goes out at the moment; None if all is well."""
        return self._outage.reason

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._news.set()

    def stop(self) -> None:
        """Ends after the request under way, but waits for that only so long; what has not been sent stays in the outbox."""
        self._stop.set()
        self._news.set()
        self._thread.join(LEAVE_S)
        if not self._thread.is_alive():
            self._writer.close()

    def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_LIMIT_S)
        try:
            while not self._stop.is_set():
                try:
                    delivered = self.deliver()
                except AwayError as away:
                    self._outage.fails(away.reason, logging.ERROR if away.setting else logging.WARNING)
                    self._stop.wait(min(RETRY_LIMIT_S, max(backoff.next_s(), away.wait_s or 0)))
                    continue
                except LedgerError as error:
                    if self._stop.is_set():
                        return  # the answer came after the ledger was closed: the same lines go again next time
                    if not error.temporary:
                        raise
                    self._outage.fails(str(error), logging.ERROR)
                    self._stop.wait(backoff.next_s())
                    continue
                if delivered:
                    backoff.reset()
                    self._outage.works()
                else:
                    self._news.wait(LOOK_S)
                    self._news.clear()
        except Exception as error:  # noqa: BLE001 - a thread must not end unseen
            self._crashed(error)

    def deliver(self) -> int:
        """Sends the oldest lines of the outbox; how many left it. Raises `AwayError` if InfluxDB takes nothing now."""
        items = self._outbox.take(self._batch_points)
        if not items:
            return 0
        try:
            self._send(items)
        except LinesRefusedError as refused:
            return self._isolate(items, refused)
        return len(items)

    def _send(self, items: Sequence[Line]) -> None:
        self._writer.write([item.line for item in items])
        self._outbox.done([item.id for item in items])

    def _isolate(self, items: Sequence[Line], refused: LinesRefusedError) -> int:
        """Finds the lines that InfluxDB will not take and sets them aside; the others are stored on the way."""
        search = _Search(self._send, self._set_aside)
        try:
            search.halve(items, refused)
            if search.doubtful and not search.left:
                words = search.doubtful[0][1].reason
                raise AwayError(f"refuses every line ({words}); look at bucket, org and url", setting=True)
            for item, why in search.doubtful:
                self._set_aside(item, why)
        finally:
            self._tell_set_aside()
        return search.left + len(search.doubtful)

    def _set_aside(self, item: Line, refused: LinesRefusedError) -> None:
        self._outbox.reject(item.id, refused.reason, self._now_ms())
        self._aside.append(f"{refused.reason}: {item.line}")

    def _tell_set_aside(self) -> None:
        """One line for a whole request: the wrong retention would otherwise fill the log with every point."""
        if self._aside:
            more = f" (and {len(self._aside) - 1} more)" if len(self._aside) > 1 else ""
            log.error("%s: refuses a point, it is set aside%s: %s", self._writer.name, more, self._aside[0])
            self._aside.clear()


class _Search:
    """Halves refused lines until the bad ones stand alone. `left`: how many lines left the outbox on the way."""

    def __init__(
        self, send: Callable[[Sequence[Line]], None], set_aside: Callable[[Line, LinesRefusedError], None]
    ) -> None:
        self._send = send
        self._set_aside = set_aside
        self.left = 0
        self.doubtful: list[
            tuple[Line, LinesRefusedError]
        ] = []  # refused without a word that names the line's fault

    def halve(self, items: Sequence[Line], refused: LinesRefusedError) -> None:
        if len(items) > 1:
            middle = len(items) // 2
            for half in (items[:middle], items[middle:]):
                try:
                    self._send(half)
                except LinesRefusedError as again:
                    self.halve(half, again)
                else:
                    self.left += len(half)
        elif refused.certain:
            self._set_aside(items[0], refused)
            self.left += 1
        else:
            self.doubtful.append((items[0], refused))


def _tls_failure(error: ApiException) -> AwayError:
    detail = " ".join(str(error.reason).split())[:MAX_SHOWN]
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return AwayError("its TLS certificate is not accepted; look at ca_file and url", setting=True)
    return AwayError(f"no TLS connection; should url begin with http://? ({detail})", setting=True)


def _words(error: ApiException) -> str:
    """InfluxDB's own explanation, on one line, shortened."""
    text = str(error.message or error.reason or "no explanation")
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _retry_after_s(error: ApiException) -> float | None:
    value = str(error.headers.get("Retry-After", "")) if error.headers else ""
    return float(value) if value.isdecimal() else None


def _connection_failure(error: urllib3.exceptions.HTTPError, settings: InfluxSettings) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError) and isinstance(error.__cause__, OSError):
        if isinstance(error.__cause__, socket.gaierror):
            return "this host name is not known here (no address found)"
        if isinstance(error.__cause__, ConnectionRefusedError):
            return "connection refused; does InfluxDB run, and on this port?"
        return reason(error.__cause__)
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (urllib3.exceptions.TimeoutError, f"no answer within {settings.timeout_s} s"),
        (urllib3.exceptions.SSLError, "its TLS certificate is not accepted; look at ca_file and url"),
        (urllib3.exceptions.ProtocolError, "the connection broke off"),
    )
    for kind, text in kinds:
        if isinstance(error, kind):
            return text
    return f"{type(error).__name__}: {error}"
