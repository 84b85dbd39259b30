"""`footfall update`: a key to sign with, bundles of the firmware, and sending one to a node that goes on counting meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from footfall_gateway.cli import config_option
from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.bundle import Bundle, file_name, make_bundle, read_bundle
from footfall_gateway.commissioning.chips import CHIPS, chip_named
from footfall_gateway.commissioning.node_link import MqttLink, NodeError, NodeLink, NodeReply, UsbLink
from footfall_gateway.commissioning.update_sender import GivenUpError, Sender
from footfall_gateway.extras import how_to_install
from footfall_gateway.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["update"]

REOPEN_S = 2.0
PLAIN_STEP_PERCENT = 10
KEY_FILE = Path("update-key.pem")


@click.group(short_help="Sign new firmware, and send it to nodes.")
def update() -> None:
    """Bring new firmware onto nodes over the air, signed so that nobody else can."""


@update.command(epilog="\b\nExample:\n  footfall update key --out update-key.pem")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=KEY_FILE,
    show_default=True,
    help="The private key's file.",
)
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase that protects the file.")
def key(out: Path, *, passphrase: bool) -> None:
    """Make the key that signs updates: once for an installation.

    Writes the private key, and beside it the public half, which `footfall flash` puts onto each node. A file that is
    there already is never overwritten.
    """
    with _signing_tools():
        from footfall_gateway.commissioning.signing import create_key  # noqa: PLC0415
    secret = None
    if passphrase:
        secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    public = out.with_suffix(".public.pem")
    create_key(out, public, secret)
    click.echo(
        f"{out}: the private key. Whoever has it can put firmware onto every node: keep it off the gateway,"
    )
    click.echo("    with a copy in a safe place. Without it, new firmware needs the USB cable.")
    click.echo(
        f"{public}: the public half, no secret. Onto each node with footfall flash --update-key {public}"
    )


@update.command(
    short_help="Compile the firmware and sign it.",
    epilog="\b\nExample:\n  footfall update build --chip esp32 --key update-key.pem",
)
@click.option(
    "--chip",
    "chips",
    multiple=True,
    type=click.Choice([chip.name for chip in CHIPS]),
    help="For which chip; may be given several times. All, if left out.",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    default=KEY_FILE,
    show_default=True,
    help="The private key that signs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="The folder for the bundles; here, if left out.",
)
@click.option("--older", is_flag=True, help="Nodes may take it even if they run a newer version.")
def build(chips: tuple[str, ...], key_file: Path, out: Path, *, older: bool) -> None:
    """Compile the firmware of this installation and sign it, one bundle for each chip."""
    from footfall_gateway.commissioning import device_files  # noqa: PLC0415

    private = _load_key(key_file)
    version = device_files.firmware_version()
    out.mkdir(parents=True, exist_ok=True)
    for name in chips or [chip.name for chip in CHIPS]:
        bundle = make_bundle(device_files.compiled(chip_named(name)), version, name, private, older=older)
        path = out / file_name(version, name)
        path.write_bytes(bundle.content)
        click.echo(f"{path}: {len(bundle.content) / 1000:.0f} KB")


@update.command(
    short_help="Send a bundle, and wait for what comes of it.",
    epilog="\b\nExamples:\n  footfall update send ff-3c71bf4a footfall-0.2.0-esp32.ffu --config footfall.toml\n"
    "  footfall update send ff-3c71bf4a ff-9d02c611 footfall-0.2.0-esp32.ffu\n"
    "  footfall update send ff-3c71bf4a footfall-0.2.0-esp32.ffu --port /dev/ttyUSB0",
)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@click.argument("bundle", type=click.Path(path_type=Path))
@config_option()
@click.option(
    "--port", help="The node is on this USB port; else it is reached through the broker of the settings."
)
@click.option("--again", is_flag=True, help="Send it even if the node runs this version already.")
def send(nodes: tuple[str, ...], bundle: Path, config: Path, port: str | None, *, again: bool) -> int:
    """Send a bundle to nodes, one after the other, and wait until the new firmware is confirmed or the old one is back.

    A node counts on meanwhile. Ctrl-C, or a broken line, costs nothing: the same command goes on where it stopped.
    A new firmware that does not reach the gateway within ten minutes gives way to the old one by itself; then the nodes
    after that one are left alone. Ends with 1 if a node was not updated.
    """
    if port is not None and len(nodes) > 1:
        raise click.UsageError("--port leads to one node: name one")
    content = read_bundle(bundle)
    settings = None if port is not None else load_settings(config)
    if len(nodes) == 1:
        click.echo(_send(nodes[0], content, _way_to(nodes[0], settings, port), again=again))
        return 0
    ways = [(node, _way_to(node, settings, port)) for node in dict.fromkeys(nodes)]
    results = []
    failed = None
    for node, way in ways:
        if isinstance(failed, GivenUpError):
            results.append(f"{node}: not tried, as {content.version} was given up on the node before")
            continue
        try:
            results.append(_send(node, content, way, again=again))
        except CommissioningError as error:
            failed = error
            results.append("\n    ".join([f"{node}: NOT UPDATED: {error.lines[0]}", *error.lines[1:]]))
        click.echo(results[-1])
    click.echo(f"\n{content.version}, node by node:")
    for result in results:
        click.echo(f"  {result.partition(chr(10))[0]}")
    return 0 if failed is None else 1


def _send(node: str, bundle: Bundle, way: Callable[[], NodeLink], *, again: bool) -> str:
    """Update one node; how it ended, in words. CommissioningError where it did not get there."""
    conversation = _Reopened(way)
    try:
        with _shown(bundle.version) as watcher:
            done = Sender(node, bundle, conversation, watcher, again=again, vouch=conversation.is_cable).run()
    finally:
        conversation.close()
    if done:
        return f"{node}: {bundle.version} runs and has reached the gateway"
    return f"{node}: runs {bundle.version} already; --again sends it all the same"


def _way_to(node: str, settings: Settings | None, port: str | None) -> Callable[[], NodeLink]:
    """A function that opens the link: over USB where a port is named, or the settings have one for this node."""
    if settings is not None:
        port = next((serial.port for serial in settings.serial if serial.node == node), None)
        if port is None:
            return _over_the_broker(node, settings)
    assert port is not None
    there = port

    def open_port() -> NodeLink:
        link = UsbLink(there)
        if link.name != node:
            link.close()
            raise CommissioningError(
                f"{there}: the node there is {link.name}, not {node}",
                "Name the right node, or the right --port.",
            )
        return link

    return open_port


def _over_the_broker(node: str, settings: Settings) -> Callable[[], NodeLink]:
    mqtt = settings.mqtt
    if mqtt is None:
        raise SettingsError(
            [
                f"{settings.path}: there is no [mqtt] and no [[serial]] for node {node}, expected one, or --port"
            ]
        )
    return lambda: MqttLink(mqtt, settings.mqtt_password, node)


class _Reopened:
    """A conversation over a link that is opened again when it breaks: a board that restarts takes its USB port along."""

    def __init__(self, open_link: Callable[[], NodeLink]) -> None:
        """NodeError where the node cannot be reached now. Once it could, it may be away for a while."""
        self._open = open_link
        link = open_link()
        self._link: NodeLink | None = link
        self.is_cable = isinstance(link, UsbLink)
        if isinstance(link, MqttLink):
            try:
                link.expect_online()
            except NodeError:
                self.close()
                raise

    def send(self, values: dict[str, Any]) -> None:
        if self._link is not None:
            try:
                self._link.tell(values)
            except NodeError:
                self.close()

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        until = time.monotonic() + timeout_s
        try:
            if self._link is None:
                time.sleep(min(REOPEN_S, timeout_s))
                self._link = self._open()
            while (left := until - time.monotonic()) > 0:
                event = self._link.next_event(left)
                if isinstance(event, NodeReply):
                    return dict(event.values)
        except NodeError:
            self.close()
        return None

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


class _Lines:
    """Progress without a terminal: a line at every tenth."""

    def __init__(self) -> None:
        self._told = -PLAIN_STEP_PERCENT

    def sent(self, done: int, size: int) -> None:
        percent = done * 100 // size
        if percent >= self._told + PLAIN_STEP_PERCENT:
            self._told = percent
            click.echo(f"{percent} %", err=True)

    def say(self, line: str) -> None:
        click.echo(line, err=True)


class _Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Progress, version: str) -> None:
        self._progress = progress
        self._task = progress.add_task(f"sending {version}", total=1.0)

    def sent(self, done: int, size: int) -> None:
        self._progress.update(self._task, completed=done / size)

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False)


@contextmanager
def _shown(version: str) -> Iterator[_Lines | _Bar]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, version)


def _load_key(path: Path) -> "rsa.RSAPrivateKey":
    with _signing_tools():
        from footfall_gateway.commissioning.signing import load_key  # noqa: PLC0415
    return load_key(path, lambda: str(click.prompt(f"Passphrase of {path}", hide_input=True)))


@contextmanager
def _signing_tools() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise CommissioningError(
            "cryptography, which signs updates, is not installed", f"Install it: {how_to_install('flash')}"
        ) from None
