"""The whole way on real parts, for the pipeline and fault tests: virtual boards, mosquitto, `footfall run`, InfluxDB.

The gateway is the real command in its own process; its time of day follows the rig's timeline.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from footfall_core.payload import PayloadError
from footfall_core.spool import SegmentReader
from footfall_gateway.accounts import LATE_SETTLE_MS
from footfall_gateway.commissioning.littlefs_image import files_in
from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Outbox
from footfall_simulator.people import IN, OUT
from footfall_simulator.timeline import Timeline
from footfall_simulator.town import Hour, Town

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from footfall_simulator.virtual_board import VirtualBoard
    from footfall_simulator.virtual_board.host import Launcher
    from tests.servers import InfluxDB, Mosquitto

FLASH_BLOCKS = 512  # 2 MB, as a board with 4 MB has for files
DATABASE = "town"
SITE = "lab"
TIMEZONE = "Europe/Berlin"
AIR_QUIET_MS = 8
LEARN_TIME_S = 90.0
SETTLE_TIMEOUT_S = 120.0
SETTLE_RATE = 200.0  # at thousands some quarter would always be about to be written
# Every exchange over the air costs a simulated week real time, so its nodes chat less than they do by default.
QUIET_NODE = {
    "state_s": 3600,
    "alive_s": 900,
    "resend_s": 600,
    "mqtt": {"keepalive_s": 600, "deadline_s": 120},
}


class Gateway:
    """`footfall run` as a process that can be killed and started again."""

    def __init__(self, folder: Path, config: Path, clock: Path) -> None:
        self.log_file = folder / "gateway.log"
        self._argv = [
            sys.executable,
            "-m",
            "footfall_gateway.cli",
            "run",
            "--config",
            str(config),
            "--clock",
            str(clock),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_listening(self) -> None:
        """Until it has said so since its last start."""
        until = time.monotonic() + LEARN_TIME_S
        while self.log_file.read_text().count("connected, listening") < self.starts:
            assert self.alive, self.log_file.read_text()
            assert time.monotonic() < until, self.log_file.read_text()
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Rig:
    """A site with its doors. Add doors and people, `start`, drive `timeline`, `settle`, then read."""

    def __init__(
        self,
        folder: Path,
        micropython: Launcher,
        broker: Mosquitto,
        influxdb: InfluxDB | None,
        start_utc_ms: int,
        rate: float,
        *,
        node_broker_port: int | None = None,
        make_flash: Callable[[Mapping[str, bytes]], bytes] | None = None,
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.influxdb = influxdb
        self.start_utc_ms = start_utc_ms
        self.timeline = Timeline(start_utc_ms, 0.0)  # until the boards start: however long the gateway takes
        self._rate = rate
        self.town = Town(
            folder / "town",
            micropython,
            ("127.0.0.1", node_broker_port or broker.port),
            self.timeline,
            air_quiet_ms=AIR_QUIET_MS,
            make_flash=make_flash,
        )
        self.more_settings = ""  # behind the doors: further tables of the site, or of the gateway
        self._clock = self.timeline.publish(folder / "clock.json")
        self.config = folder / "footfall.toml"
        self.ledger = folder / "var" / "ledger.sqlite"
        self.gateway = Gateway(folder, self.config, self._clock)

    def start(self) -> None:
        """Write the settings for the doors added so far, start gateway and boards; then time passes at its full rate."""
        influxdb = ""
        if self.influxdb is not None:
            self.influxdb.create_database(DATABASE)  # its points are kept for ever
            influxdb = (
                f'[influxdb]\nurl = "{self.influxdb.v2_url}"\norg = "-"\nbucket = "{DATABASE}/autogen"\n'
                'token_file = "token"\n'
            )
        (self.folder / "token").write_text("user:password")
        (self.folder / "token").chmod(0o600)
        doors = "\n".join(
            f'[[site.door]]\nid = "{node.place}"\nnode = "{node.name}"\n' for node in self.town.nodes.values()
        )
        self.config.write_text(
            f'[gateway]\ndata = "var"\n[mqtt]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
            f'{influxdb}[[site]]\nid = "{SITE}"\ntimezone = "{TIMEZONE}"\ncapacity = 500\n{doors}{self.more_settings}'
        )
        self.gateway.start()
        self.gateway.wait_until_listening()
        self.timeline.set_rate(1.0)
        self.town.start()
        for node in self.town.nodes.values():
            node.board.wait_for_console("time: learned", LEARN_TIME_S)
        self.timeline.set_rate(self._rate)

    def run_until(self, utc_ms: int, timeout_s: float = 240.0) -> None:
        """Let time pass, with every board having lived through all of its edges at the end."""
        self.timeline.wait_until(utc_ms, timeout_s)
        for node in self.town.nodes.values():
            node.board.wait_for_edges(timeout_s)
            assert node.board.late_edges == 0, f"{node.name}: edges came late, the run proves nothing"
            assert not node.board.tracebacks, node.board.tracebacks[0]

    def settle(self) -> None:
        """Wait until the nodes' spools are acknowledged and the gateway has nothing left to send."""
        until = time.monotonic() + SETTLE_TIMEOUT_S
        with self.timeline.slowed(SETTLE_RATE):
            while time.monotonic() < until:
                if self.settled():
                    return
                time.sleep(0.2)
        raise AssertionError(f"not settled after {SETTLE_TIMEOUT_S:g} s: {self.status()}")

    def settled(self) -> bool:
        return not any(self.status().values())

    def status(self) -> dict[str, int]:
        """What is still under way: records not in the ledger yet, holes, quarters to sum up, buckets to write, points to send."""
        if not self.ledger.exists():
            return {"no ledger yet": 1}
        with Ledger.open(self.ledger, read_only=True) as ledger:
            spools = {(spool.node, spool.spool): spool for spool in ledger.spools()}
            behind = 0
            for node in self.town.nodes.values():
                for spool, last in flash_ends(node.board).items():
                    stored = spools.get((node.name, spool))
                    behind += last - (stored.contiguous if stored else 0)
            return {
                "records behind": behind,
                "missing": sum(spool.missing for spool in spools.values()),
                "dirty": ledger.counters().dirty,
                "due": self._due(ledger),
                "outbox": Outbox(ledger).depth(),
            }

    def _due(self, ledger: Ledger) -> int:
        """Buckets that are to be written, at once or as soon as they have settled, and are not in the outbox yet."""
        if self.influxdb is None:
            return 0  # nobody takes them
        soon_ms = self.timeline.now_ms() + LATE_SETTLE_MS
        with ledger.database.reading() as sql:
            (found,) = sql.execute("SELECT count(*) FROM pending WHERE due_ms <= ?", (soon_ms,)).fetchone()
        return int(found)

    def hours(self, door: str) -> list[dict[str, Any]]:
        """A door's rows of footfall_hour, read with InfluxQL."""
        assert self.influxdb is not None
        return self.influxdb.query(
            f'SELECT "in", "out", covered_s FROM footfall_hour WHERE door = \'{door}\' AND time >= {self.start_utc_ms}ms'
            f" AND time < {self.timeline.now_ms()}ms",
            DATABASE,
        )

    def written(self) -> Counter[Hour]:
        """What InfluxDB has, by InfluxQL, as counts above zero."""
        found: Counter[Hour] = Counter()
        for node in self.town.nodes.values():
            for row in self.hours(node.place):
                for direction, field in ((IN, "in"), (OUT, "out")):
                    if row[field]:
                        found[Hour(node.place, row["time"], direction)] += row[field]
        return found

    def stop(self) -> None:
        if self.gateway.alive:
            assert self.gateway.stop() == 0, self.gateway.log_file.read_text()
        self.town.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            if self.gateway.alive:
                self.gateway.kill()
            self.town.close()


def segments(board: VirtualBoard) -> list[bytes]:
    """The spool's files in a board's flash."""
    if board.flash_image is None:
        found = []
        for file in sorted(board.flash_dir.glob("spool/*/*.seg")):
            with contextlib.suppress(FileNotFoundError):  # acknowledged, and deleted meanwhile
                found.append(file.read_bytes())
        return found
    files = files_in(board.flash_image.read_bytes(), FLASH_BLOCKS, "spool/")
    return [content for path, content in files.items() if path.endswith(".seg")]


def flash_ends(board: VirtualBoard) -> dict[str, int]:
    """The last record number of every spool in a node's flash, read from the files themselves."""
    ends: dict[str, int] = {}
    for content in segments(board):
        try:
            segment = SegmentReader(content)
        except PayloadError:
            continue  # cut off while its header was being written
        count = sum(1 for _ in segment)
        ends[segment.spool] = max(ends.get(segment.spool, 0), segment.first_seq + count - 1)
    return ends
