"""`footfall node`: look at nodes, ask them things, set them up; over their USB cable or over the broker, while they count.

Which node is meant, and the way to it: `node_target`. The conversation: `node_link`. What it tells, in words: `node_words`.
Changes, and what comes of them: `node_change`.
"""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from footfall_gateway.cli import config_option
from footfall_gateway.commissioning.language import language_option, tr
from footfall_gateway.commissioning.language import told as in_words
from footfall_gateway.commissioning.node_change import (
    Connection,
    await_connection,
    configure,
    refuse_if_managed,
    wait_until_back,
)
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
from footfall_gateway.commissioning.node_target import LIST_GREET_S, Target, last_heard, target_options
from footfall_gateway.commissioning.node_words import align_line, config_lines, info_lines, summary_line
from footfall_gateway.commissioning.ports import candidates
from footfall_gateway.extras import how_to_install

__all__ = ["node"]

FOLLOW_EVERY_S = 2.0
ALIGN_EVERY_S = 0.5
WATCHDOG_MS = 3_600_000  # while somebody is at the prompt; it cannot be switched off
MPREMOTE = (sys.executable, "-m", "mpremote")


@click.group(
    epilog="\b\nExamples:\n  footfall node list\n  footfall node info --port /dev/ttyUSB0\n  footfall node align ff-3c71bf4a"
)
def node() -> None:
    """Talk with a node, over USB or the broker, while it counts.

    A node is found by --port, or by its name over the broker that the settings file names. Without either it is the only
    board on USB.
    """


@node.command("list")
@config_option("The gateway's settings: also list what its broker knows.")
@language_option
@click.pass_context
def list_nodes(ctx: click.Context, config: Path) -> None:
    """Show the nodes on USB, and those that the broker knows."""
    target = Target(None, None, config, ctx.get_parameter_source("config") is not ParameterSource.DEFAULT)
    boards = candidates()
    click.echo("USB" if boards else tr("USB: no board"))
    for board in boards:
        click.echo(tr("  {device}  asking …", device=board.device), nl=False)
        try:
            with UsbLink(board.device, greet_s=LIST_GREET_S) as link:
                words = summary_line(
                    link.name, link.info | {"online": True, "spool": link.info["spool"]["depth"]}
                )
        except NodeError as error:
            words = error.lines[0].removeprefix(f"{board.device}: ")
        click.echo(f"\r  {board.device}  {words}")
    settings = target.settings()
    if settings is None or settings.mqtt is None:
        return
    click.echo(tr("broker {host}:{port}", host=settings.mqtt.host, port=settings.mqtt.effective_port))
    states = retained_states(settings.mqtt, settings.mqtt_password)
    since = last_heard(settings)
    for name, state in sorted(states.items()):
        click.echo(f"  {summary_line(name, state, since(name))}")
    named = {door.node for site in settings.sites for door in site.doors}
    named |= {terminal.node for site in settings.sites for terminal in site.terminals}
    missing = named - set(states)
    for name in sorted(missing):
        click.echo(
            tr("  {name}  in {config}, but the broker has never heard of it", name=name, config=config)
        )
    if not states and not missing:
        click.echo(tr("  it knows no node"))


@node.command()
@target_options
def info(target: Target) -> None:
    """Show what a node is and how it does."""
    with target.open() as link:
        for line in info_lines(link.command("info")):
            click.echo(line)


@node.command(short_help="Show a node's console, or its last crashes.")
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
            click.echo(tr("no crash is kept"))
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
                click.echo(
                    tr("{node}: away for the moment; its lines follow when it is back", node=link.name),
                    err=True,
                )
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
        click.echo(tr("{node}: its lamps flash for 10 s", node=link.name))


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
        click.echo(tr("{node}: restarts …", node=link.name))
    after = wait_until_back(target, before)
    click.echo(
        tr(
            "{node}: back, boot {boot} ({cause})",
            node=after["node"],
            boot=after["boot"],
            cause=in_words(after["cause"]),
        )
    )


@node.command()
@target_options
def shell(target: Target) -> None:
    """Open MicroPython's prompt on a node (USB only). Counting stops until you leave.

    The prompt is mpremote's: leave it with Ctrl-]. Then the node restarts and counts again.
    """
    if target.port is None and target.name is not None and target.settings() is not None:
        raise NodeError(tr("a prompt needs the USB cable: footfall node shell --port PORT"))
    with target.open() as link:
        if not isinstance(link, UsbLink):
            raise NodeError(tr("a prompt needs the USB cable: footfall node shell --port PORT"))
        port, name = link.port, link.name
    if importlib.util.find_spec("mpremote") is None:
        raise NodeError(
            tr(
                "mpremote, which shows the prompt, is not installed: {command}",
                command=how_to_install("flash"),
            )
        )
    click.echo(
        tr(
            "{name}: COUNTING STOPS NOW. Leave the prompt with Ctrl-]; then the node restarts and counts again.",
            name=name,
        )
    )
    longer = f"try:\n import machine; machine.WDT(timeout={WATCHDOG_MS})\nexcept Exception: pass"
    try:
        argv = [*MPREMOTE, "connect", port, "resume", "exec", longer, "repl"]
        done = subprocess.run(argv, check=False, stderr=subprocess.PIPE, text=True, errors="replace")
    finally:
        restart = "import machine; machine.reset()"
        subprocess.run(
            [*MPREMOTE, "connect", port, "resume", "exec", "--no-follow", restart],
            check=False,
            capture_output=True,
        )
    if done.returncode and not Path(port).exists():
        raise NodeError(
            tr("{port}: unplugged. Once it is plugged in again the node starts, and counts", port=port)
        )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise NodeError(
            tr(
                "the prompt has ended ({said}). The node was told to restart: see that it counts with footfall node info, or press "
                "its reset button",
                said=said,
            )
        )
    click.echo(
        tr("{name}: restarts; footfall node info --port {port} shows whether it counts", name=name, port=port)
    )


@node.command()
@target_options
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated."
)
@click.option("--wifi", metavar="SSID", help="Another WiFi, on trial; its password is asked for.")
@click.option(
    "--wifi-password-file", type=click.Path(path_type=Path), help="Read its password from this file."
)
@click.option("--broker", metavar="HOST[:PORT]", help="Another broker, on trial.")
@click.option("--broker-user", help="Another user name there; its password is asked for.")
@click.option(
    "--broker-password-file", type=click.Path(path_type=Path), help="Read the password there from this file."
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
        takes effect at once and outlives restarts; the node may refuse it.
    --wifi SSID, --broker HOST
        are tried after a restart. If no gateway is reached with them, the old
        connection comes back.
    """
    connection = Connection.named(wifi, wifi_password_file, broker, broker_user, broker_password_file)
    with target.open() as link:
        told = link.command("info")
        if not changes and connection is None:
            for line in config_lines(told):
                click.echo(line)
        if changes:
            refuse_if_managed(target, link)
            configure(link, told, changes)
        if connection is None:
            return
        if isinstance(link, MqttLink) and not told["net"].get("tls"):
            click.echo(
                tr(
                    "note: this goes to the node over a broker without TLS; whoever listens there can read it"
                ),
                err=True,
            )
        wanted = connection.asked()
        link.command("connect", trial_s=within_s, **wanted)
        click.echo(
            tr(
                "{node}: tries it after a restart; if no gateway answers within {within_s} s the old connection comes back",
                node=link.name,
                within_s=within_s,
            )
        )
    await_connection(target, told, within_s, moved=broker is not None)
