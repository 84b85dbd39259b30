"""What is at the port: the chip, its MicroPython, a node with records in its flash. Called by `flash_cli`, before anything is written."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import Chip
from footfall_gateway.commissioning.flashing import Esptool
from footfall_gateway.commissioning.images import LEAST_VERSION, download_hint
from footfall_gateway.commissioning.language import told, tr
from footfall_gateway.commissioning.node_link import ConsoleLine, NodeError, UsbLink
from footfall_gateway.commissioning.ports import Port, check_usable
from footfall_gateway.commissioning.repl import Facts, Seen, knock, trouble

__all__ = ["Board", "check_version", "in_records", "look"]

RESTART_S = 8.0  # it waits up to 5 s for whoever is in the door
GREET_S = 2.5  # a node that runs answers at once; any other board has nothing to say


@dataclass(frozen=True)
class Board:
    """What was found at the port."""

    port: Port
    chip: Chip
    facts: Facts | None  # None: no MicroPython that answers
    waiting: int | None  # records without acknowledgement, as the running node said; None: it was not asked
    own_name: str

    def counts(self) -> str:
        """The records in its flash, in words."""
        if self.waiting is not None:
            if self.waiting == 1:
                return tr("1 record waits for the gateway")
            return tr("{count} records wait for the gateway", count=self.waiting)
        if self.facts is None or not self.facts.records:
            return tr("no records in its flash")
        records = in_records(self.facts.records)
        if not self.facts.exact:
            records = tr("about {records}", records=records)
        return tr("{records} in its flash, of which the gateway may have some", records=records)


def look(
    port: Port, esptool: Callable[[], Esptool], console: Console, *, download_mode: bool, has_image: bool
) -> Board:
    """Look at the board, and say on the console what it is.

    CommissioningError where it can only be used with an image of MicroPython and there is none (has_image), with the way out.
    """
    device = port.device
    check_usable(device)
    waiting, seen, facts = None, Seen("download", ""), None
    if not download_mode:
        waiting = _settle(device)
        with console.status(tr("looking at {device} …", device=device)):
            seen, facts = knock(device)
    if facts is not None:
        board = Board(port, facts.chip, facts, waiting, facts.node)
        console.print(
            tr(
                "{device}: {chip} ({bridge}), MicroPython {version}",
                device=device,
                chip=board.chip.title,
                bridge=port.bridge,
                version=told(facts.version),
            )
        )
        if facts.is_node:
            console.print(tr("  node {node}, {counts}", node=facts.node, counts=board.counts()))
        return board
    what, way_out = trouble(seen)
    if not has_image:
        raise _no_image(esptool, seen, f"{device}: {what}", way_out)
    console.print(f"{device}: {what}")
    with console.status(tr("asking the chip what it is …")):
        chip = esptool().look()
    size = tr(", {megabytes} MB flash", megabytes=chip.flash_bytes >> 20) if chip.flash_bytes else ""
    console.print(f"{device}: {chip.description}{size}")
    return Board(port, chip.chip, None, None, f"ff-{chip.address[-8:]}" if chip.address else "ff-1")


def check_version(facts: Facts, chip: Chip) -> None:
    """CommissioningError where the MicroPython on the board is too old for the firmware."""
    numbers = tuple(
        int(part) for part in facts.version.removeprefix("v").split(" ")[0].split(".")[:2] if part.isdigit()
    )
    if numbers and numbers < LEAST_VERSION:
        raise CommissioningError(
            tr(
                "MicroPython {version} is on this board; the firmware needs {least} or newer",
                version=told(facts.version),
                least=".".join(map(str, LEAST_VERSION)),
            ),
            *download_hint(chip),
        )


def in_records(count: int) -> str:
    """In words: 1 record, 7 records."""
    return tr("1 record") if count == 1 else tr("{count} records", count=count)


def _no_image(esptool: Callable[[], Esptool], seen: Seen, what: str, way_out: str) -> CommissioningError:
    lines = [what, way_out] if way_out else [what]
    if seen.kind in ("empty", "other", "silent", "download"):
        try:
            lines += download_hint(esptool().look().chip)
        except CommissioningError as error:
            lines += error.lines if not way_out else ()
    return CommissioningError(*lines)


def _settle(device: str) -> int | None:
    """Let a node that runs there put everything it has counted into its flash, by a restart of its own accord.

    Returns how many records wait for the gateway, if it is in touch with it and so can tell.
    """
    waiting = None
    with contextlib.suppress(NodeError, KeyError, TypeError), UsbLink(device, greet_s=GREET_S) as node:
        depth = node.info["spool"]["depth"]
        if isinstance(depth, int) and node.info.get("net", {}).get("connected"):
            waiting = depth
        node.command("reboot")
        until = time.monotonic() + RESTART_S
        while time.monotonic() < until:
            event = node.next_event(0.5)
            if isinstance(event, ConsoleLine) and event.text.startswith("restarting"):
                break
    return waiting
