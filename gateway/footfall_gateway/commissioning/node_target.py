"""Which node a command means, and the way to it: its USB port, or the broker of the gateway's settings.

`--port` means the cable. A node's name means the broker of the settings file, or, where there is no settings file, the USB
port at which this node answers. Without either it is the only board on USB. Used by `footfall node` and `footfall accept`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from footfall_gateway.cli import config_option
from footfall_gateway.commissioning.language import language_option, tr
from footfall_gateway.commissioning.node_link import MqttLink, NodeError, NodeLink, UsbLink
from footfall_gateway.commissioning.ports import candidates
from footfall_gateway.outage import spoken
from footfall_gateway.settings import Settings, load_settings

__all__ = ["LIST_GREET_S", "Target", "last_heard", "target_options"]

LIST_GREET_S = 5.0  # where every port is asked, also those that are no node's

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
                raise NodeError(
                    tr("{config}: has no [mqtt]; reach the node over USB: --port", config=self.config)
                )
            return MqttLink(settings.mqtt, settings.mqtt_password, self.name, since=last_heard(settings))
        boards = [port.device for port in candidates()]
        if self.name is not None:
            return _found_on_usb(self.name, boards, self.config)
        if len(boards) == 1:
            return UsbLink(boards[0])
        if boards:
            raise NodeError(
                tr(
                    "{count} boards on USB: {boards}; say which one: --port",
                    count=len(boards),
                    boards=", ".join(boards),
                )
            )
        raise NodeError(
            tr(
                "no board on USB, and no node named; plug one in (with a cable that has data lines), or name a node and the gateway's "
                "settings: footfall node info ff-3c71bf4a --config footfall.toml"
            )
        )


def target_options(command: _C) -> _C:
    """[NODE] --port --config --language, the first three given to the command as `target`."""

    def call(*, node: str | None, port: str | None, config: Path, **values: Any) -> Any:
        named = click.get_current_context().get_parameter_source("config") is not ParameterSource.DEFAULT
        return command(target=Target(node, port, config, named), **values)

    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    call.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # options written below this
    decorated = language_option(config_option("The gateway's settings: which broker.")(call))
    decorated = click.option("--port", help="The USB port, such as /dev/ttyUSB0.")(decorated)
    return click.argument("node", required=False)(decorated)  # type: ignore[return-value]


def _named(link: UsbLink, name: str | None) -> UsbLink:
    if name is not None and link.name != name:
        link.close()
        raise NodeError(tr("{port}: this is {node}, not {name}", port=link.port, node=link.name, name=name))
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
        tr(
            "{name} is on none of the USB ports ({boards}), and there is no {config} that names a broker; "
            "give --config or --port",
            name=name,
            boards=", ".join(boards) or tr("no board found"),
            config=config,
        )
    )


def last_heard(settings: Settings) -> Callable[[str], str | None]:
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
            return tr("no record of it came so far")
        return tr("its last records came {ago} ago", ago=spoken(time.time() - max(heard) / 1000))

    return since
