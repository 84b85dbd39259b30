"""What a node tells of itself, in words for people. Used by `footfall node`."""

from collections.abc import Mapping, Sequence
from typing import Any

from footfall_gateway.outage import spoken

__all__ = [
    "align_line",
    "config_lines",
    "connection_words",
    "info_lines",
    "settable",
    "summary_line",
    "update_words",
]

CHATTER = 2  # changes a second of a beam that nobody breaks
PANEL = ("question", "lockout_ms", "debounce_ms")
NOT_LIMITS = ("outer", "inner", "role")  # of a barrier: these need config.json and a restart


def info_lines(told: Mapping[str, Any]) -> list[str]:
    """The answer to `info` for people."""
    slot = f" (slot {told['slot']})" if told.get("slot") else ""
    lines = [
        f"{told['node']}  firmware {told['fw']}{slot}, MicroPython {told['micropython']}, {told['board']}",
        f"  running      {spoken(told['uptime_s'])}, boot {told['boot']} ({told['cause']})"
        + (", SAFE MODE" if told.get("safe") else ""),
        f"  connection   {connection_words(told['net'])}",
    ]
    if told.get("connect_error"):
        lines.append(f"               the last new connection was given up: {told['connect_error']}")
    if told.get("trial"):
        lines.append("               a new connection is on trial")
    if told.get("update"):
        lines.append(f"  update       {update_words(told['update'])}")
    spool = told["spool"]
    lines.append(
        f"  records      {spool['next'] - 1} so far, {spool['depth']} wait for the gateway, {spool['lost']} lost (spool {spool['id']})"
    )
    for number, barrier in enumerate(told["barriers"]):
        beams = [f"outer (pin {barrier['outer']}) {_beam(told, number, 0)}"]
        if barrier.get("inner") is not None:
            beams.append(f"inner (pin {barrier['inner']}) {_beam(told, number, 1)}")
        role = f", {barrier['role']}" if barrier.get("role", "door") != "door" else ""
        lines.append(f"  barrier {number}    {', '.join(beams)}{role}")
    if told["buttons"]:
        lines.append(
            f"  buttons      pins {_pins(told['buttons'])}, lamps {_pins(told['lamps']) or 'none'}, question {told['question']}"
        )
    lines.append(f"  room         {told['heap'] // 1024} KB of memory, {told['flash_free_kb']} KB of flash")
    clock = "known" if told["clock"] else "not known"
    lines.append(f"  time         {clock}; configuration revision {told['rev']}")
    if told.get("config_error"):
        lines.append(f"               the last configuration was refused: {told['config_error']}")
    return lines


def update_words(update: Mapping[str, Any]) -> str:
    """An update of the firmware, as `info` and the state tell it (docs/wire.md)."""
    version = update.get("version") or "?"
    if update.get("error"):
        return f"{version} failed: {update['error']}"
    percent = update.get("percent") or 0
    return (
        f"{version} on trial until the gateway has its first records"
        if percent == 100
        else f"{version} arrives: {percent} %"
    )


def config_lines(told: Mapping[str, Any]) -> list[str]:
    """What --set may change, as it is."""
    lines = [f"{told['node']}: configuration revision {told['rev']}"]
    lines += [f"  {key}={value}" for key, value in settable(told).items()]
    lines.append(f"  connection: {connection_words(told['net'])}")
    if told.get("config_error"):
        lines.append(f"  the last configuration was refused: {told['config_error']}")
    return lines


def settable(told: Mapping[str, Any]) -> dict[str, int]:
    """What --set may change, by key, as it is."""
    found = {key: int(told[key]) for key in PANEL}
    for number, barrier in enumerate(told["barriers"]):
        for key, value in barrier.items():
            if key not in NOT_LIMITS and isinstance(value, int):
                found[f"barriers.{number}.{key}"] = value
    return dict(sorted(found.items()))


def align_line(barriers: Sequence[Mapping[str, Any]], told: Mapping[str, Any], elapsed_s: float) -> str:
    """Both beams of every barrier, and how often each changes a second."""
    parts = []
    for number, (barrier, state, changes) in enumerate(
        zip(barriers, told["beams"], told["changes"], strict=True)
    ):
        for beam, word in enumerate(("outer", "inner")):
            if barrier.get(word) is None:
                continue
            rate = round(changes[beam] / max(elapsed_s, 0.1))
            chatter = "  chatters" if rate > CHATTER else ""
            parts.append(
                f"{number} {word} {'BROKEN' if state >> beam & 1 else 'free':<6} {rate:>3}/s{chatter}"
            )
    return "   ".join(parts)


def summary_line(name: str, state: Mapping[str, Any], since: str | None = None) -> str:
    """A node in `footfall node list`; `since`: when something was last heard of one that is away."""
    if not state.get("online"):
        return f"{name}  OFFLINE{', ' + since if since else ''}"
    parts = [f"{name}  online, firmware {state.get('fw', '?')}, {state.get('spool', '?')} records wait"]
    for number, faults in enumerate(state.get("faults") or ()):
        parts += [
            f"barrier {number} {word} beam BLOCKED"
            for beam, word in enumerate(("outer", "inner"))
            if faults >> beam & 1
        ]
    if state.get("stuck"):
        parts.append("a button is STUCK")
    if state.get("safe"):
        parts.append("SAFE MODE")
    if state.get("lost"):
        parts.append(f"{state['lost']} records LOST")
    for key, what in (
        ("config_error", "configuration refused"),
        ("connect_error", "new connection given up"),
    ):
        if state.get(key):
            parts.append(f"{what}: {state[key]}")
    return "; ".join(parts)


def connection_words(net: Mapping[str, Any]) -> str:
    """How the node is connected, and what is wrong with that."""
    if net.get("link") == "cable":
        return "USB cable"
    parts = []
    if "wifi" in net:
        wifi = f"WiFi {net['wifi']}: "
        wifi += (
            f"{net['rssi']} dBm, address {net['address']}"
            if net.get("wifi_up")
            else net.get("wifi_problem") or "connecting"
        )
        parts.append(wifi)
    if net.get("link") == "broker":
        how = "connected" if net.get("connected") else net.get("problem") or "not connected yet"
        parts.append(f"broker {net['broker']}{' (TLS)' if net.get('tls') else ''}: {how}")
    return "; ".join(parts) or "none, counting into flash only"


def _beam(told: Mapping[str, Any], barrier: int, beam: int) -> str:
    if told["faults"][barrier] >> beam & 1:
        return "BLOCKED"
    return "broken" if told["beams"][barrier] >> beam & 1 else "free"


def _pins(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins))
