"""What nodes say beside their records: `state` (how the node is) and `reply` (it asks the time, answers, or tells that
it has crashed). Used by `receiver`.

The same border as `ingest`: behind it there are only frozen structs. Fields that are not known here are ignored, as
a newer node may say more; a known field with a wrong value refuses the message.
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from footfall_core.payload import MAX_BATCH_BYTES, MAX_BOOT, VERSION
from footfall_gateway.ingest import NOT_JSON, TOO_LARGE, UNKNOWN_VERSION, Refusal, refusal

__all__ = [
    "BAD_REPLY",
    "BAD_STATE",
    "CrashReport",
    "NodeReply",
    "NodeState",
    "UpdateState",
    "read_reply",
    "read_state",
]

BAD_STATE, BAD_REPLY = "bad state", "bad reply"  # reasons beside those of `ingest`

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Name = Annotated[str, Meta(max_length=64)]
_Beams = Annotated[tuple[Annotated[int, Meta(ge=0, le=3)], ...], Meta(max_length=8)]  # per barrier, as bits
MAX_CRASH_TEXT = 1000  # characters; a traceback's last lines


class UpdateState(Struct, frozen=True, kw_only=True):
    """An update of the node's firmware: `percent` while it arrives, `error` where it failed."""

    version: _Name | None = None
    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    error: Annotated[str, Meta(max_length=300)] | None = None


class NodeState(Struct, frozen=True, kw_only=True):
    """The content of `state`. None: the node does not say. `faults`: per barrier the beams that are obstructed, as bits."""

    online: bool
    fw: _Name = ""
    rev: _Count | None = None  # of the configuration that it has
    slot: _Name = ""  # of the firmware that runs; "" where it has none
    safe: bool = False  # it came to nothing several times in a row, and leaves out all but counting
    uptime_s: _Count | None = None
    faults: _Beams = ()
    noisy: _Beams = ()  # of the obstructed ones, those whose edges no people make
    roles: Annotated[tuple[_Name, ...], Meta(max_length=8)] = ()  # per barrier "door" or "passers-by"
    spool: _Count | None = None  # records that wait in its flash
    lost: _Count = 0  # records it had to give up since boot, its flash was full
    dropped_edges: _Count = 0  # edges since boot that came too fast to be kept
    heap: _Count | None = None
    heap_low: _Count | None = None  # the fewest free bytes since boot
    rssi: Annotated[int, Meta(ge=-200, le=100)] | None = None
    clock_error_ms: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    update: UpdateState | None = None
    config_error: Annotated[str, Meta(max_length=300)] | None = None  # why it did not take its configuration


class NodeReply(Struct, frozen=True, kw_only=True):
    """The content of `reply`. `ask` is "time" where the node wants to know it; `t` is its clock then. `do` is the command
    that it answers, and "crash" where it tells of one by itself."""

    ask: _Name = ""
    do: object = None
    t: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class CrashReport(Struct, frozen=True, kw_only=True):
    """A `reply` with `do` "crash": how the node's start number `boot` ended, with which firmware, and the traceback."""

    boot: Annotated[int, Meta(ge=0, le=MAX_BOOT)]
    text: Annotated[str, Meta(max_length=MAX_CRASH_TEXT)]
    fw: _Name = ""


class _Version(Struct):
    v: object = None


_S = TypeVar("_S", NodeState, NodeReply, CrashReport)
_version = msgspec.json.Decoder(_Version)
_state = msgspec.json.Decoder(NodeState)
_reply = msgspec.json.Decoder(NodeReply)
_crash = msgspec.json.Decoder(CrashReport)


def read_state(topic: str, payload: bytes) -> NodeState | Refusal:
    return _read(_state, BAD_STATE, topic, payload)


def read_reply(topic: str, payload: bytes) -> NodeReply | CrashReport | Refusal:
    reply = _read(_reply, BAD_REPLY, topic, payload)
    if isinstance(reply, NodeReply) and reply.do == "crash":
        return _read(_crash, BAD_REPLY, topic, payload)
    return reply


def _read(decoder: msgspec.json.Decoder[_S], bad: str, topic: str, payload: bytes) -> _S | Refusal:
    if len(payload) > MAX_BATCH_BYTES:
        return refusal(TOO_LARGE, f"more than {MAX_BATCH_BYTES} bytes", topic, payload)
    try:
        version = _version.decode(payload).v
        if version != VERSION or isinstance(version, bool):
            return refusal(UNKNOWN_VERSION, f"v is {version!r}, expected {VERSION}", topic, payload)
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        return refusal(bad, str(error), topic, payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refusal(NOT_JSON, str(error), topic, payload)
