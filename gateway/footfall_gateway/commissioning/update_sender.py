"""Brings a bundle to a node: answers what the node asks for, until the new firmware is confirmed or the old one is back.

The node sets the pace and remembers what it has (`firmware/node/update.py`); this side keeps nothing. So it may be ended
at any moment, and started again goes on where the node's flash ends. `update_cli` shows it to a person.
"""

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.bundle import Bundle

__all__ = ["Conversation", "GivenUpError", "Sender", "Watcher"]

KNOCK_S = 10.0  # a node from which nothing comes is told again that there is an update
SILENCE_S = 180.0  # ... for so long: it may be starting, or its network may be away for a moment
MOST_RETRIES = 5  # of a node whose memory was short
LOOK_S = 2.0  # between two questions how it is, once the new firmware is on trial
TRIAL_S = 2700.0  # three starts of ten minutes each, and the wait for a quiet door before
LONGEST_PIECE = 1024  # whatever a node asks for
INTERRUPTED = "interrupted"  # how firmware/node/trial.py begins its words on a transfer that broke off

# A part of what a node says when it refuses -> the way out
GO_ON = "Run the same command again: it goes on where it stopped."
WAYS_OUT = {
    "signature": "It was signed with another key than the node's, or damaged: footfall update build --key …",
    "no update_key": "Put the public key onto it over USB once: footfall flash",
    "has no slot": "Flash it over USB once: footfall flash",
    "older than": "To go back on purpose: footfall update build --older",
    "made for the chip": "Build it for that chip: footfall update build --chip …",
    "flash the board": "MicroPython and the loader come over USB only: footfall flash",
    "not enough flash": "Let it send its records, make its spool_kb smaller, or give it a board with more flash.",
    "is under way": "Somebody sends it another bundle. If not, wait five minutes until it gives that up; then the same command again.",
    "is on trial": "Wait ten minutes, then run the same command again.",
    "nobody sent": GO_ON,
    "busy": "Wait a moment, then run the same command again.",
    "MemoryError": GO_ON,
    "is damaged": "Run the same command again: the transfer begins anew.",
}


class GivenUpError(CommissioningError):
    """The new firmware ran and did not prove itself, so the node went back: another node may fare no better."""


class Conversation(Protocol):
    """The way to one node: its command topic there, its reply topic back."""

    def send(self, values: dict[str, Any]) -> None:
        """Sends a command; what is lost on the way is noticed by what does not come back."""

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The node's next reply; None when none came in time."""


class Watcher(Protocol):
    """Whoever shows it to a person."""

    def sent(self, done: int, size: int) -> None:
        """So many bytes of the bundle are on the node."""

    def say(self, line: str) -> None:
        """Something that a person wants to know."""


@dataclass
class _Asked:
    """What `info` tells of the firmware."""

    fw: str
    version: str | None
    percent: int | None
    error: str | None


class Sender:
    """One bundle for one node. `vouch`: this program is at the gateway's place (a cable), and confirms the new firmware."""

    def __init__(
        self,
        node: str,
        bundle: Bundle,
        conversation: Conversation,
        watcher: Watcher,
        *,
        again: bool = False,
        vouch: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._bundle = bundle
        self._conversation = conversation
        self._watcher = watcher
        self._again = again
        self._vouch = vouch
        self._clock = clock
        self._id = secrets.token_hex(4)
        self._vouched_at = 0.0

    def run(self) -> bool:
        """True when the new firmware runs and is confirmed; False when it ran already. CommissioningError says what went wrong."""
        while True:
            if not self._send_all():
                return False
            if self._wait_for_the_end():
                return True
            self._watcher.say(f"{self._node}: interrupted, going on")

    # ---- until the node has it all

    def _send_all(self) -> bool:
        bundle = self._bundle
        knock = {
            "do": "update", "id": self._id, "version": bundle.version, "bundle": bundle.id,
            "size": len(bundle.content), "head": bundle.head_bytes,
        }  # fmt: skip
        if self._again:
            knock["again"] = True
        knock_at = self._clock()
        heard_at = knock_at
        short_of_memory = 0
        while True:
            now = self._clock()
            if now - heard_at > SILENCE_S:
                raise CommissioningError(
                    f"{self._node} has not been heard for {SILENCE_S / 60:.0f} minutes",
                    "Is it powered and connected (`footfall node list`)? Run the same command again: it goes on where it stopped.",
                )
            if now >= knock_at:
                self._conversation.send(knock)
                knock_at = now + KNOCK_S
            reply = self._conversation.receive(max(0.0, min(1.0, knock_at - now)))
            if reply is None or reply.get("id") != self._id:
                continue
            heard_at = self._clock()
            knock_at = heard_at + KNOCK_S
            if reply.get("ask") == "update":
                short_of_memory = 0 if reply.get("offset") else short_of_memory
                self._answer(reply)
            elif reply.get("do") == "update":
                if "MemoryError" in str(reply.get("error")) and short_of_memory < MOST_RETRIES:
                    short_of_memory += (
                        1  # for a moment; what it has is in its flash, and the next knock goes on
                    )
                    continue
                if "error" in reply:
                    raise self._refused(str(reply["error"]))
                if reply.get("stage") == "runs":
                    return False
                if reply.get("stage") in ("restarting", "trial"):
                    self._watcher.sent(len(bundle.content), len(bundle.content))
                    return True

    def _answer(self, ask: dict[str, Any]) -> None:
        offset, n = ask.get("offset"), ask.get("bytes")
        if (
            not isinstance(offset, int)
            or not isinstance(n, int)
            or not 0 <= offset < len(self._bundle.content)
        ):
            return
        piece = self._bundle.content[offset : offset + min(n, LONGEST_PIECE)]
        data = base64.b64encode(piece).decode()
        self._conversation.send({"do": "piece", "offset": offset, "data": data})
        self._watcher.sent(offset, len(self._bundle.content))

    def _refused(self, why: str) -> CommissioningError:
        hint = [way_out for part, way_out in WAYS_OUT.items() if part in why][:1]
        return CommissioningError(
            f"{self._node} does not take {self._bundle.version}: {why}",
            "It runs on with the firmware it has; nothing was changed.",
            *hint,
        )

    # ---- until it is confirmed, or the old one is back

    def _wait_for_the_end(self) -> bool:
        """True when the new firmware is confirmed, False when the transfer has to go on."""
        version = self._bundle.version
        self._watcher.say(
            f"{self._node}: has it all, and checked; restarting with {version} when nobody is in a door"
        )
        began = self._clock()
        told_trial = False
        while self._clock() - began < TRIAL_S:
            found = self._ask_how_it_is()
            if found is None:
                continue
            if found.error is not None and found.version in (version, None):
                if found.error.startswith(INTERRUPTED):
                    return False
                raise GivenUpError(
                    f"{self._node} has returned to {found.fw}: {version} was given up ({found.error})",
                    "It counts on as before, and no record is lost. What the new one said last: footfall node logs",
                )
            if found.fw == version and found.version is None:
                return True
            if found.fw == version and found.percent == 100:
                if not told_trial:
                    self._watcher.say(
                        f"{self._node}: {version} runs, on trial until the gateway has its first records (1 to 10 minutes)"
                    )
                told_trial = True
                if self._vouch and self._clock() - self._vouched_at > KNOCK_S:
                    self._vouched_at = self._clock()
                    self._conversation.send({"do": "update", "id": "vouch", "confirm": version})
        raise CommissioningError(
            f"{self._node} has not been heard for a long time, so it is not known which firmware it runs",
            "Look at it with `footfall node info`; by itself it returns to the old one when the new one does not work.",
        )

    def _ask_how_it_is(self) -> _Asked | None:
        """What the node says of itself; takes LOOK_S."""
        ask_id = secrets.token_hex(4)
        self._conversation.send({"do": "info", "id": ask_id})
        found = None
        until = self._clock() + LOOK_S
        while (left := until - self._clock()) > 0:
            reply = self._conversation.receive(left)
            if reply is not None and reply.get("id") == ask_id and isinstance(reply.get("fw"), str):
                told = reply.get("update")
                told = told if isinstance(told, dict) else {}
                found = _Asked(reply["fw"], told.get("version"), told.get("percent"), told.get("error"))
        return found
