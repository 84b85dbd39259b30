"""What a node tells of itself, in words for people. Used by `footfall node`."""

from collections.abc import Mapping, Sequence
from typing import Any

from footfall_gateway.commissioning.language import marked, tr
from footfall_gateway.commissioning.language import told as in_words
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

BEAMS = (marked("outer"), marked("inner"))
CHATTER = 2  # changes a second of a beam that nobody breaks
PANEL = ("question", "lockout_ms", "debounce_ms")
NOT_LIMITS = ("outer", "inner", "role")  # of a barrier: these need config.json and a restart


def info_lines(told: Mapping[str, Any]) -> list[str]:
    """The answer to `info` for people."""
    slot = tr(" (slot {slot})", slot=told["slot"]) if told.get("slot") else ""
    lines = [
        tr(
            "{node}  firmware {firmware}{slot}, MicroPython {version}, {board}",
            node=told["node"],
            firmware=told["fw"],
            slot=slot,
            version=told["micropython"],
            board=told["board"],
        ),
        tr(
            "  running      {time}, boot {boot} ({cause})",
            time=spoken(told["uptime_s"]),
            boot=told["boot"],
            cause=in_words(told["cause"]),
        )
        + (tr(", SAFE MODE") if told.get("safe") else ""),
        tr("  connection   {connection}", connection=connection_words(told["net"])),
    ]
    if told.get("connect_error"):
        lines.append(
            tr(
                "               the last new connection was given up: {words}",
                words=in_words(told["connect_error"]),
            )
        )
    if told.get("trial"):
        lines.append(tr("               a new connection is on trial"))
    if told.get("update"):
        lines.append(tr("  update       {update}", update=update_words(told["update"])))
    spool = told["spool"]
    lines.append(
        tr(
            "  records      {count} so far, {depth} wait for the gateway, {lost} lost (spool {spool})",
            count=spool["next"] - 1,
            depth=spool["depth"],
            lost=spool["lost"],
            spool=spool["id"],
        )
    )
    for number, barrier in enumerate(told["barriers"]):
        beams = [
            tr(
                "{word} (pin {pin}) {state}",
                word=tr(word),
                pin=barrier[word],
                state=_beam(told, number, beam),
            )
            for beam, word in enumerate(BEAMS)
            if barrier.get(word) is not None
        ]
        if barrier.get("role", "door") != "door":
            beams.append(in_words(barrier["role"]))
        lines.append(tr("  barrier {number}    {beams}", number=number, beams=", ".join(beams)))
    if told["buttons"]:
        lines.append(
            tr(
                "  buttons      pins {buttons}, lamps {lamps}, question {question}",
                buttons=_pins(told["buttons"]),
                lamps=_pins(told["lamps"]) or tr("none"),
                question=told["question"],
            )
        )
    lines.append(
        tr(
            "  room         {memory} KB of memory, {flash} KB of flash",
            memory=told["heap"] // 1024,
            flash=told["flash_free_kb"],
        )
    )
    clock = tr("known") if told["clock"] else tr("not known")
    lines.append(
        tr("  time         {clock}; configuration revision {revision}", clock=clock, revision=told["rev"])
    )
    if told.get("config_error"):
        lines.append(
            tr(
                "               the last configuration was refused: {words}",
                words=in_words(told["config_error"]),
            )
        )
    return lines


def update_words(update: Mapping[str, Any]) -> str:
    """An update of the firmware, as `info` and the state tell it (docs/wire.md)."""
    version = update.get("version") or "?"
    if update.get("error"):
        return tr("{version} failed: {words}", version=version, words=in_words(update["error"]))
    percent = update.get("percent") or 0
    return (
        tr("{version} on trial until the gateway has its first records", version=version)
        if percent == 100
        else tr("{version} arrives: {percent} %", version=version, percent=percent)
    )


def config_lines(told: Mapping[str, Any]) -> list[str]:
    """What --set may change, as it is."""
    lines = [tr("{node}: configuration revision {revision}", node=told["node"], revision=told["rev"])]
    lines += [f"  {key}={value}" for key, value in settable(told).items()]
    lines.append(tr("  connection: {connection}", connection=connection_words(told["net"])))
    if told.get("config_error"):
        lines.append(
            tr("  the last configuration was refused: {words}", words=in_words(told["config_error"]))
        )
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
        for beam, word in enumerate(BEAMS):
            if barrier.get(word) is None:
                continue
            rate = round(changes[beam] / max(elapsed_s, 0.1))
            chatter = tr("  chatters") if rate > CHATTER else ""
            is_so = tr("BROKEN") if state >> beam & 1 else tr("free")
            width = max(len(tr("BROKEN")), len(tr("free")))
            parts.append(f"{number} {tr(word)} {is_so:<{width}} {rate:>3}/s{chatter}")
    return "   ".join(parts)


def summary_line(name: str, state: Mapping[str, Any], since: str | None = None) -> str:
    """A node in `footfall node list`; `since`: when something was last heard of one that is away."""
    if not state.get("online"):
        return tr("{name}  OFFLINE", name=name) + (f", {since}" if since else "")
    parts = [
        tr(
            "{name}  online, firmware {firmware}, {count} records wait",
            name=name,
            firmware=state.get("fw", "?"),
            count=state.get("spool", "?"),
        )
    ]
    for number, faults in enumerate(state.get("faults") or ()):
        parts += [
            tr("barrier {number} {word} beam BLOCKED", number=number, word=tr(word))
            for beam, word in enumerate(BEAMS)
            if faults >> beam & 1
        ]
    if state.get("stuck"):
        parts.append(tr("a button is STUCK"))
    if state.get("safe"):
        parts.append(tr("SAFE MODE"))
    if state.get("lost"):
        parts.append(tr("{count} records LOST", count=state["lost"]))
    for key, what in (
        ("config_error", tr("configuration refused")),
        ("connect_error", tr("new connection given up")),
    ):
        if state.get(key):
            parts.append(f"{what}: {in_words(state[key])}")
    return "; ".join(parts)


def connection_words(net: Mapping[str, Any]) -> str:
    """How the node is connected, and what is wrong with that."""
    if net.get("link") == "cable":
        return tr("USB cable")
    parts = []
    if "wifi" in net:
        how = (
            tr("{dbm} dBm, address {address}", dbm=net["rssi"], address=net["address"])
            if net.get("wifi_up")
            else in_words(net.get("wifi_problem") or "") or tr("connecting")
        )
        parts.append(tr("WiFi {ssid}: {how}", ssid=net["wifi"], how=how))
    if net.get("link") == "broker":
        how = (
            tr("connected")
            if net.get("connected")
            else in_words(net.get("problem") or "") or tr("not connected yet")
        )
        tls = " (TLS)" if net.get("tls") else ""
        parts.append(tr("broker {broker}{tls}: {how}", broker=net["broker"], tls=tls, how=how))
    return "; ".join(parts) or tr("none, counting into flash only")


def _beam(told: Mapping[str, Any], barrier: int, beam: int) -> str:
    if told["faults"][barrier] >> beam & 1:
        return tr("BLOCKED")
    return tr("broken") if told["beams"][barrier] >> beam & 1 else tr("free")


def _pins(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins))
