"""`footfall node`: look at nodes, ask them things, set them up; over their USB cable or over the broker, while they count.

Which way: `--port` means the cable. A node's name means the broker of the settings file, or, where there is no settings file,
the USB port at which this node answers. Without either it is the only board on USB.
"""

import difflib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from footfall_core.payload import VERSION
from footfall_gateway.commissioning.node_link import (
    ConsoleLine,
    MqttLink,
    NoAnswerError,
    NodeError,
    NodeLink,
    NodeState,
    OfflineError,
    UsbLink,
    retained_states,
)
from footfall_gateway.commissioning.ports import candidates
from footfall_gateway.extras import how_to_install
from footfall_gateway.node_config import content_of
from footfall_gateway.outage import spoken
from footfall_gateway.settings import Settings, load_settings, places_of

__all__ = ["Target", "node", "target_options"]

LIST_GREET_S = 5.0  # `list` asks every port, also those that are no node's
BACK_WITHIN_S = 90.0  # a restart with WiFi, broker and a spool to read
CONFIG_WITHIN_S = 20.0
FOLLOW_EVERY_S = 2.0
ALIGN_EVERY_S = 0.5
CHATTER = 2  # changes a second of a beam that nobody breaks
WATCHDOG_MS = 3_600_000  # while somebody is at the prompt; it cannot be switched off
MPREMOTE = (sys.executable, "-m", "mpremote")
PANEL = ("question", "lockout_ms", "debounce_ms")
NOT_LIMITS = ("outer", "inner", "role")  # of a barrier: these need config.json and a restart

_C = TypeVar("_C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """Which node, and how to reach it."""

    name: str | None
    port: str | None
    config: Path
    config_wanted: bool  # named by the user, not just the default

    def settings(self) -> Settings | None:
        """The gateway's settings; None where nobody named a file and there is none at the usual place."""
        if not self.config_wanted and not self.config.is_file():
            return None
        return load_settings(self.config)

    def open(self) -> NodeLink:
        """The link to it. NodeError with the way out where there is none."""
        if self.port is not None:
            return _named(UsbLink(self.port), self.name)
        settings = self.settings()
        if self.name is not None and settings is not None:
            if settings.mqtt is None:
                raise NodeError(f"{self.config}: has no [mqtt]; reach the node over USB: --port")
            return MqttLink(settings.mqtt, settings.mqtt_password, self.name, since=_last_heard(settings))
        boards = [port.device for port in candidates()]
        if self.name is not None:
            return _found_on_usb(self.name, boards, self.config)
        if len(boards) == 1:
            return UsbLink(boards[0])
        if boards:
            raise NodeError(f"{len(boards)} boards on USB: {', '.join(boards)}; say which one: --port")
        raise NodeError(
            "no board on USB, and no node named; plug one in (with a cable that has data lines), or name a node and the gateway's "
            "settings: footfall node info ff-3c71bf4a --config footfall.toml"
        )


def target_options(command: _C) -> _C:
    """[NODE] --port --config, given to the command as `target`."""

    def call(*, node: str | None, port: str | None, config: Path, **values: Any) -> Any:
        named = click.get_current_context().get_parameter_source("config") is not ParameterSource.DEFAULT
        return command(target=Target(node, port, config, named), **values)

    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    call.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # options written below this
    decorated = click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("footfall.toml"),
        show_default=True,
        envvar="FOOTFALL_CONFIG",
        help="The gateway's settings: which broker.",
    )(call)
    decorated = click.option("--port", help="The USB port, such as /dev/ttyUSB0.")(decorated)
    return click.argument("node", required=False)(decorated)  # type: ignore[return-value]


@click.group(
    epilog="\b\nExamples:\n  footfall node list\n  footfall node info --port /dev/ttyUSB0\n  footfall node align ff-3c71bf4a"
)
def node() -> None:
    """Talk with a node, over USB or the broker, while it counts.

    A node is found by --port, or by its name over the broker that the settings file names. Without either it is the only
    board on USB.
    """


@node.command("list")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("footfall.toml"),
    show_default=True,
    envvar="FOOTFALL_CONFIG",
    help="The gateway's settings: also list what its broker knows.",
)
@click.pass_context
def list_nodes(ctx: click.Context, config: Path) -> None:
    """Show the nodes on USB, and those that the broker knows."""
    target = Target(None, None, config, ctx.get_parameter_source("config") is not ParameterSource.DEFAULT)
    boards = candidates()
    click.echo("USB" if boards else "USB: no board")
    for board in boards:
        click.echo(f"  {board.device}  asking …", nl=False)
        try:
            with UsbLink(board.device, greet_s=LIST_GREET_S) as link:
                words = _in_one_line(
                    link.name, link.info | {"online": True, "spool": link.info["spool"]["depth"]}
                )
        except NodeError as error:
            words = error.lines[0].removeprefix(f"{board.device}: ")
        click.echo(f"\r  {board.device}  {words}")
    settings = target.settings()
    if settings is None or settings.mqtt is None:
        return
    click.echo(f"broker {settings.mqtt.host}:{settings.mqtt.effective_port}")
    states = retained_states(settings.mqtt, settings.mqtt_password)
    since = _last_heard(settings)
    for name, state in sorted(states.items()):
        click.echo(f"  {_in_one_line(name, state, since(name))}")
    named = {door.node for site in settings.sites for door in site.doors}
    named |= {terminal.node for site in settings.sites for terminal in site.terminals}
    missing = named - set(states)
    for name in sorted(missing):
        click.echo(f"  {name}  in {config}, but the broker has never heard of it")
    if not states and not missing:
        click.echo("  it knows no node")


@node.command()
@target_options
def info(target: Target) -> None:
    """Show what a node is and how it does."""
    with target.open() as link:
        for line in info_lines(link.command("info")):
            click.echo(line)


@node.command()
@target_options
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--crash", is_flag=True, help="The text of the last crashes instead.")
def logs(target: Target, *, follow: bool, crash: bool) -> None:
    """Show the last lines of a node's console, each with its second since boot.

    Lines of single passages and presses are not kept; --follow over USB shows them too.
    """
    with target.open() as link:
        boot = int(link.command("info")["boot"])
        text, since = link.log(of="crash" if crash else "console")
        _show_lines(text)
        if crash and not text:
            click.echo("no crash is kept")
        if follow and not crash:
            _follow(link, boot, since)


def _follow(link: NodeLink, boot: int, since: int) -> NoReturn:
    """The console's lines as they come, until Ctrl-C; over the broker also through a restart of the node."""
    away = False
    while True:
        event = link.next_event(FOLLOW_EVERY_S)
        if isinstance(link, UsbLink):
            if isinstance(event, ConsoleLine):
                click.echo(event.text)
            continue
        try:
            if (
                boot == 0 or away or isinstance(event, NodeState)
            ):  # has it restarted? Its log begins anew then
                before, boot = boot, int(link.command("info")["boot"])
                since = since if before in (0, boot) else 0
            text, since = link.log(since)
        except (NoAnswerError, OfflineError):
            if not away:
                click.echo(f"{link.name}: away for the moment; its lines follow when it is back", err=True)
            away = True
        else:
            away = False
            _show_lines(text)


def _show_lines(text: str) -> None:
    for line in text.splitlines():
        click.echo(line)


@node.command()
@target_options
def identify(target: Target) -> None:
    """Flash the node's lamps for 10 s."""
    with target.open() as link:
        link.command("identify")
        click.echo(f"{link.name}: its lamps flash for 10 s")


@node.command()
@target_options
@click.option("--seconds", type=click.IntRange(1, 600), default=600, show_default=True, help="How long.")
def align(target: Target, seconds: int) -> None:
    """Show both beams live while you aim them; Ctrl-C ends it.

    "free" is what you want, on both, with 0 changes a second while nobody is in the door. The status lamp is lit while all
    beams are free.
    """
    with target.open() as link:
        barriers = link.command("info")["barriers"]
        terminal = sys.stdout.isatty()
        until = time.monotonic() + seconds
        shown, at = "", time.monotonic()
        try:
            link.command("align", on=True)
            while time.monotonic() < until:
                time.sleep(ALIGN_EVERY_S)
                told = link.command("align", on=True)
                elapsed_s, at = time.monotonic() - at, time.monotonic()
                line = align_line(barriers, told, elapsed_s)
                if terminal:
                    click.echo(f"\r{line}\x1b[K", nl=False)
                elif line != shown:
                    click.echo(line)
                shown = line
        finally:
            if terminal:
                click.echo()
            link.command("align", on=False)


@node.command()
@target_options
def reboot(target: Target) -> None:
    """Restart a node; what it has counted is in flash before."""
    with target.open() as link:
        before = int(link.command("info")["boot"])
        link.command("reboot")
        click.echo(f"{link.name}: restarts …")
    after = wait_until_back(target, before)
    click.echo(f"{after['node']}: back, boot {after['boot']} ({after['cause']})")


@node.command()
@target_options
def shell(target: Target) -> None:
    """Open MicroPython's prompt on a node (USB only). Counting stops until you leave.

    The prompt is mpremote's: leave it with Ctrl-]. Then the node restarts and counts again.
    """
    if target.port is None and target.name is not None and target.settings() is not None:
        raise NodeError("a prompt needs the USB cable: footfall node shell --port PORT")
    with target.open() as link:
        if not isinstance(link, UsbLink):
            raise NodeError("a prompt needs the USB cable: footfall node shell --port PORT")
        port, name = link.port, link.name
    click.echo(
        f"{name}: COUNTING STOPS NOW. Leave the prompt with Ctrl-]; then the node restarts and counts again."
    )
    longer = f"try:\n import machine; machine.WDT(timeout={WATCHDOG_MS})\nexcept Exception: pass"
    try:
        done = subprocess.run([*MPREMOTE, "connect", port, "resume", "exec", longer, "repl"], check=False)
    finally:
        restart = "import machine; machine.reset()"
        subprocess.run(
            [*MPREMOTE, "connect", port, "resume", "exec", "--no-follow", restart],
            check=False,
            capture_output=True,
        )
    if done.returncode:
        raise NodeError(
            f"mpremote ended with {done.returncode}; is it installed ({how_to_install('flash')})? The node was told to restart: "
            "see that it counts with footfall node info, or press its reset button"
        )
    click.echo(f"{name}: restarts; footfall node info --port {port} shows whether it counts")


@node.command()
@target_options
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated."
)
@click.option("--wifi", metavar="SSID", help="Another WiFi, on trial; its password is asked for.")
@click.option("--wifi-password-file", type=click.Path(path_type=Path, exists=True), help="Read it from here.")
@click.option("--broker", metavar="HOST[:PORT]", help="Another broker, on trial; the password is asked for.")
@click.option("--broker-user", help="This node's user name there (default: as it is).")
@click.option(
    "--broker-password-file", type=click.Path(path_type=Path, exists=True), help="Read it from here."
)
@click.option(
    "--within",
    "within_s",
    type=click.IntRange(20, 1800),
    default=180,
    show_default=True,
    help="Seconds until the old connection comes back.",
)
def config(
    target: Target,
    changes: tuple[str, ...],
    wifi: str | None,
    wifi_password_file: Path | None,
    broker: str | None,
    broker_user: str | None,
    broker_password_file: Path | None,
    within_s: int,
) -> None:
    """Show or change a node's configuration.

    \b
    --set question=3 --set lockout_ms=4000 --set barriers.0.glitch_ms=10
        takes effect at once, is kept over restarts, and can be refused by the node
    --wifi SSID, --broker HOST
        are tried after a restart. If the gateway is not reached with them, the old ones come back.
    """
    with target.open() as link:
        told = link.command("info")
        if changes:
            _refuse_if_managed(target, link)
            _configure(link, told, changes)
        elif wifi is None and broker is None:
            for line in config_lines(told):
                click.echo(line)
            return
        if wifi is None and broker is None:
            return
        wanted: dict[str, Any] = {}
        if wifi is not None:
            wanted["wifi"] = {
                "ssid": wifi,
                "password": _secret(f"Password of the WiFi {wifi}", wifi_password_file),
            }
        if broker is not None:
            host, port = _host_and_port(broker)
            wanted["mqtt"] = {"host": host, "port": port}
            if broker_user is not None:
                wanted["mqtt"]["user"] = broker_user
            if broker_user is not None or broker_password_file is not None:
                wanted["mqtt"]["password"] = _secret(f"Password at the broker {host}", broker_password_file)
        if isinstance(link, MqttLink) and not told["net"].get("tls"):
            click.echo(
                "note: this goes to the node over a broker without TLS; whoever listens there can read it",
                err=True,
            )
        link.command("connect", trial_s=within_s, **wanted)
        click.echo(
            f"{link.name}: tries it after a restart; if no gateway answers within {within_s} s the old connection comes back"
        )
    _await_connection(target, told, within_s, moved=broker is not None)


# ------------------------------------------------------------------------------------------------------- in words


def info_lines(told: Mapping[str, Any]) -> list[str]:
    """The answer to `info` for people."""
    slot = f" (slot {told['slot']})" if told.get("slot") else ""
    lines = [
        f"{told['node']}  firmware {told['fw']}{slot}, MicroPython {told['micropython']}, {told['board']}",
        f"  running      {spoken(told['uptime_s'])}, boot {told['boot']} ({told['cause']})"
        + (", SAFE MODE" if told.get("safe") else ""),
        f"  connection   {_net_words(told['net'])}",
    ]
    if told.get("connect_error"):
        lines.append(f"               the last new connection was given up: {told['connect_error']}")
    if told.get("trial"):
        lines.append("               a new connection is on trial")
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


def config_lines(told: Mapping[str, Any]) -> list[str]:
    """What --set may change, as it is."""
    lines = [f"{told['node']}: configuration revision {told['rev']}"]
    lines += [f"  {key}={value}" for key, value in _settable(told).items()]
    lines.append(f"  connection: {_net_words(told['net'])}")
    if told.get("config_error"):
        lines.append(f"  the last configuration was refused: {told['config_error']}")
    return lines


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


def _in_one_line(name: str, state: Mapping[str, Any], since: str | None = None) -> str:
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


def _net_words(net: Mapping[str, Any]) -> str:
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


# ------------------------------------------------------------------------------------------------------- doing it


def wait_until_back(target: Target, boot_before: int, within_s: float = BACK_WITHIN_S) -> dict[str, Any]:
    """The node's `info` after a restart. NodeError where it does not come back."""
    until = time.monotonic() + within_s
    problem: NodeError | None = None
    while time.monotonic() < until:
        try:
            with target.open() as link:
                while time.monotonic() < until:
                    try:
                        told = link.command("info", within_s=3.0)
                    except NoAnswerError:
                        continue
                    if int(told["boot"]) > boot_before:
                        return told
                    time.sleep(0.5)
        except NodeError as error:  # the port is gone for a moment, or the broker holds it for offline
            problem = error
            time.sleep(0.5)
    why = f" ({problem})" if problem else ""
    raise NodeError(
        f"it did not come back within {within_s:.0f} s{why}; look at its status lamp, or at its console over USB"
    )


def _configure(link: NodeLink, told: Mapping[str, Any], changes: Sequence[str]) -> None:
    present = _settable(told)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set {change}: expected KEY=VALUE")
        if key not in present:
            near = difflib.get_close_matches(key, present, n=1)
            hint = f', did you mean "{near[0]}"?' if near else f"; there is {', '.join(present)}"
            raise click.UsageError(f"--set {change}: {link.name} has no {key} that can be set{hint}")
        try:
            present[key] = int(text)
        except ValueError:
            raise click.UsageError(f"--set {change}: expected a whole number") from None
    revision = int(told["rev"]) + 1
    barriers: list[dict[str, int]] = [{} for _ in told["barriers"]]
    for key, value in present.items():
        if key.startswith("barriers."):
            _, number, limit = key.split(".")
            barriers[int(number)][limit] = value
    content = {"v": VERSION, "rev": revision, "barriers": barriers} | {key: present[key] for key in PANEL}
    link.send_config(json.dumps(content, separators=(",", ":")))
    until = time.monotonic() + CONFIG_WITHIN_S
    refused_before = told.get("config_error")
    while time.monotonic() < until:
        now = link.command("info")
        if int(now["rev"]) == revision:
            click.echo(f"{link.name}: has configuration {revision}")
            return
        if now.get("config_error") and now["config_error"] != refused_before:
            raise NodeError(
                f"{link.name} refuses it and keeps configuration {now['rev']}: {now['config_error']}"
            )
        time.sleep(0.3)
    way_out = (
        f"; may this user write footfall/1/{link.name}/config (the broker's access list)?"
        if isinstance(link, MqttLink)
        else ""
    )
    raise NodeError(
        f"{link.name} did not take configuration {revision} within {CONFIG_WITHIN_S:.0f} s{way_out}"
    )


def _settable(told: Mapping[str, Any]) -> dict[str, int]:
    found = {key: int(told[key]) for key in PANEL}
    for number, barrier in enumerate(told["barriers"]):
        for key, value in barrier.items():
            if key not in NOT_LIMITS and isinstance(value, int):
                found[f"barriers.{number}.{key}"] = value
    return dict(sorted(found.items()))


def _refuse_if_managed(target: Target, link: NodeLink) -> None:
    settings = target.settings()
    if settings is None:
        return
    managed = content_of(settings, places_of(settings), link.name, time.time_ns() // 1_000_000)
    if managed:
        raise NodeError(
            f"{link.name} gets its configuration from {settings.path} ({', '.join(managed)}), and the gateway would put it back: change "
            "it there ([[node]], [[question]]) and restart footfall run"
        )


def _await_connection(target: Target, before: Mapping[str, Any], within_s: int, *, moved: bool) -> None:
    """Until the trial has ended, one way or the other."""
    until = time.monotonic() + within_s + BACK_WITHIN_S
    boot = int(before["boot"])
    over_broker = target.port is None and target.settings() is not None and target.name is not None
    while time.monotonic() < until:
        try:
            told = wait_until_back(target, boot, within_s + BACK_WITHIN_S)
        except NodeError:
            if over_broker and moved:
                click.echo(
                    f"{before['node']}: no longer at this broker; it is at the new one, or back here soon with connect_error. "
                    "footfall node info over USB tells"
                )
                return
            raise
        if told.get("connect_error"):
            raise NodeError(
                f"{before['node']}: the new connection was given up, the old one is used again: {told['connect_error']}"
            )
        if not told.get("trial"):
            click.echo(
                f"{before['node']}: the gateway was reached, the new connection is kept ({_net_words(told['net'])})"
            )
            return
        boot = int(told["boot"]) - 1
        time.sleep(1.0)
    raise NodeError(f"{before['node']}: not heard of the trial's end; footfall node info shows connect_error")


def _named(link: UsbLink, name: str | None) -> UsbLink:
    if name is not None and link.name != name:
        link.close()
        raise NodeError(f"{link.port}: this is {link.name}, not {name}")
    return link


def _found_on_usb(name: str, boards: Sequence[str], config: Path) -> UsbLink:
    for board in boards:
        try:
            link = UsbLink(board, greet_s=LIST_GREET_S)
        except NodeError:
            continue
        if link.name == name:
            return link
        link.close()
    raise NodeError(
        f"{name} is on none of the USB ports ({', '.join(boards) or 'no board found'}), and there is no {config} that names a broker; "
        "give --config or --port"
    )


def _last_heard(settings: Settings) -> Callable[[str], str | None]:
    """When the ledger last heard of a node, where there is a ledger here."""

    def since(name: str) -> str | None:
        from footfall_gateway.database import LedgerError  # noqa: PLC0415 - only where a node is away
        from footfall_gateway.ledger import Ledger  # noqa: PLC0415
        from footfall_gateway.service import ledger_path  # noqa: PLC0415

        try:
            with Ledger.open(ledger_path(settings), read_only=True) as ledger:
                heard = [spool.last_received_ms for spool in ledger.spools() if spool.node == name]
        except (LedgerError, OSError):
            return None
        if not heard:
            return "no record of it came so far"
        return f"its last records came {spoken(time.time() - max(heard) / 1000)} ago"

    return since


def _secret(question: str, file: Path | None) -> str:
    if file is not None:
        text = file.read_text(encoding="utf-8").strip()
        if not text:
            raise NodeError(f"{file}: is empty, expected the password")
        return text
    return str(click.prompt(question, hide_input=True, err=True))


def _host_and_port(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or ":" in host:
        return text, None
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise click.UsageError(f"--broker {text}: expected HOST or HOST:PORT")
    return host, int(port)
