"""The self-test of a node over its cable, in words for the person at the door: a line for each part, and what to do about it.

The node tests itself (firmware/node/selftest.py, command `test`); here is what its findings mean. Counting goes on meanwhile.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.language import marked, told, tr
from footfall_gateway.commissioning.node_link import NoAnswerError, NodeError, UsbLink
from footfall_gateway.commissioning.repl import Prompt, trouble

__all__ = ["Finding", "all_well", "findings", "self_test"]

WATCH_S = 5  # beams and buttons
WAIT_S = 45  # WiFi 20, broker 10, the time a few more
SPARE_S = 30
START_S = 25.0  # from reset to the first answer: a full spool is read first
SURELY_DEAD_S = 4.0
NEEDS = {"broker": ("wifi",), "time": ("wifi", "broker", "cable")}


@dataclass(frozen=True)
class Finding:
    """One line. ok: None for what only eyes can tell."""

    name: str
    ok: bool | None
    words: str
    to_do: str = ""

    @property
    def mark(self) -> str:
        return {True: "✓", False: "✗", None: "?"}[self.ok]


# What the node's words mean for whoever stands before it: the part's name (regular expression), its words, and the way out
_WAYS_OUT = (
    ("wifi", r"password is wrong|no handshake", marked("Correct the WiFi password: footfall flash --new-settings")),
    (
        "wifi",
        r"no such network",
        marked("Is the name spelt exactly so, capitals too? Is the network on 2.4 GHz? An ESP32 cannot hear 5 GHz. Is it in reach here?"),
    ),
    ("wifi", r"refuses", marked("The access point lets this board not in: a list of allowed devices, or too many already?")),
    ("wifi", r"too weak", marked("Move the board or the access point, or use a board with an antenna socket.")),
    ("wifi", r".", marked("Is the access point on, and in reach here? The node goes on trying.")),
    (
        "broker",
        r"refused (the password|.*user)|not authori|bad user",
        marked("Put this node's line (below) into mosquitto's password file, then: sudo systemctl reload mosquitto"),
    ),
    (
        "broker",
        r"(?i)TLS:.*(CN|common name|hostname|not match)",
        marked("The certificate is for another name: set mqtt.server_name to the name in the broker's certificate"),
    ),
    (
        "broker",
        r"(?i)TLS:.*(future|expired|validity|not yet)",
        marked("The board's clock or the certificate's dates are off. Does the gateway run? It tells the board the time."),
    ),
    (
        "broker",
        r"TLS:",
        marked("The certificate on the board (ca_file) is not of the authority that signed the broker's: ask for that one"),
    ),
    ("broker", r"certificate cannot be used", marked("Give the authority's certificate again: footfall flash --new-settings")),
    ("broker", r"access list", marked("Put mosquitto's access list in order: docs/gateway.md, 2. The broker")),
    (
        "broker",
        r"nothing listens|no route|no answer|OSError|closed|not reached|reset",
        marked("Does the broker run, is its address right, is it in the same network, is its port (1883, TLS 8883) open in the firewall?"),
    ),
    ("broker", r".", marked("Look into the broker's own log: sudo journalctl -u mosquitto")),
    ("cable", r".", marked("Does the gateway run, with this port in a [[serial]]?")),
    ("time", r".", marked("Start the gateway (footfall run) with this node in its settings: it tells the time. Counting has begun all the same.")),
)  # fmt: skip


def findings(results: Sequence[Sequence[object]]) -> list[Finding]:
    """The node's answer, with ways out where something is wrong."""
    found: list[Finding] = []
    for row in results:
        name, ok, words = str(row[0]), row[1], str(row[2])
        to_do = ""
        earlier = [one.name for one in found if one.ok is False and one.name in NEEDS.get(name, ())]
        if earlier:
            to_do = tr("First the {part}: this needs it.", part=told(earlier[0]))
        elif ok is False:
            to_do = next(
                (tr(way) for part, pattern, way in _WAYS_OUT if part == name and re.search(pattern, words)),
                "",
            )
        found.append(Finding(name, ok if isinstance(ok, bool) else None, words, to_do))
    return found


def all_well(found: Sequence[Finding]) -> bool:
    """Whether nothing is known to be wrong; what only eyes can tell does not count against it."""
    return all(one.ok is not False for one in found)


def self_test(device: str, begins: Callable[[], None]) -> list[Finding]:
    """Let the node at `device`, which has just been restarted, test itself. `begins` is called when it has answered.

    CommissioningError where no firmware of ours answers, with the reason.
    """
    try:
        with _started(device) as node:
            begins()
            answer = node.command("test", within_s=WATCH_S + WAIT_S + SPARE_S, watch_s=WATCH_S, wait_s=WAIT_S)
    except NoAnswerError as error:
        raise _why_silent(device, str(error.message)) from None
    return findings(answer["results"])


def _started(device: str) -> UsbLink:
    until = time.monotonic() + START_S
    while True:
        try:
            return UsbLink(device, greet_s=START_S)
        except NoAnswerError:
            raise
        except NodeError:  # a chip that is the USB device itself goes away when it starts, and comes back
            if time.monotonic() >= until:
                raise


def _why_silent(device: str, words: str) -> CommissioningError:
    """The firmware is copied, and does not answer: look once more, now at the prompt."""
    with Prompt(device) as prompt:
        seen = prompt.enter(SURELY_DEAD_S)
        if seen.kind != "prompt":
            what, way_out = trouble(seen)
            return CommissioningError(f"{device}: {what}", *([way_out] if way_out else []))
        try:
            crash = prompt.read("crash.txt").decode("utf-8", "replace").strip().splitlines()
        except CommissioningError:
            crash = []
        prompt.restart()
    if crash:
        return CommissioningError(
            tr("{device}: the firmware crashed: {words}", device=device, words=crash[-1]),
            tr("Please report it, with the file crash.txt of the board."),
        )
    return CommissioningError(words)
