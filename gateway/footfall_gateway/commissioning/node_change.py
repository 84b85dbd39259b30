"""Changing a node, and waiting for what comes of it: its configuration, another connection on trial, a restart. Used by `footfall node`."""

import contextlib
import difflib
import ipaddress
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from footfall_core.payload import VERSION
from footfall_gateway.commissioning.language import told as in_words
from footfall_gateway.commissioning.language import tr
from footfall_gateway.commissioning.language import why as in_short
from footfall_gateway.commissioning.node_link import MqttLink, NoAnswerError, NodeError, NodeLink
from footfall_gateway.commissioning.node_target import Target
from footfall_gateway.commissioning.node_words import PANEL, connection_words, settable
from footfall_gateway.node_config import content_of
from footfall_gateway.settings import places_of

__all__ = ["Connection", "await_connection", "configure", "refuse_if_managed", "wait_until_back"]

BACK_WITHIN_S = 90.0  # a restart with WiFi, broker and a spool to read
CONFIG_WITHIN_S = 20.0
HOST = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?"
MAX_PASSWORD_BYTES = 1000  # far above any; protects against naming another file by mistake


@dataclass(frozen=True)
class Connection:
    """Another WiFi or broker for a node, as the options of `footfall node config` name it."""

    wifi: str | None
    wifi_password: str | None  # None: asked for
    broker: tuple[str, int | None] | None
    broker_user: str | None  # None: as it is
    broker_password: str | None  # None: asked for where the user changes, else as it is

    @classmethod
    def named(
        cls,
        wifi: str | None,
        wifi_password_file: Path | None,
        broker: str | None,
        broker_user: str | None,
        broker_password_file: Path | None,
    ) -> Self | None:
        """What the options say, or None where they say nothing. click.UsageError where they cannot be meant so."""
        if wifi is None and wifi_password_file is not None:
            raise click.UsageError(tr("--wifi-password-file: which WiFi? expected --wifi too"))
        if broker is None and (broker_user is not None or broker_password_file is not None):
            raise click.UsageError(
                tr("--broker-user and --broker-password-file: which broker? expected --broker too")
            )
        if wifi is None and broker is None:
            return None
        return cls(
            wifi,
            None if wifi_password_file is None else _password_in(wifi_password_file),
            None if broker is None else _host_and_port(broker),
            broker_user,
            None if broker_password_file is None else _password_in(broker_password_file),
        )

    def asked(self) -> dict[str, Any]:
        """The items of the command `connect`; passwords that no file has are asked for."""
        items: dict[str, Any] = {}
        if self.wifi is not None:
            items["wifi"] = {
                "ssid": self.wifi,
                "password": self.wifi_password
                or _ask(tr("Password of the WiFi {ssid} (Enter: an open one)", ssid=self.wifi), default=""),
            }
        if self.broker is not None:
            host, port = self.broker
            items["mqtt"] = {"host": host, "port": port}
            if self.broker_user is not None:
                items["mqtt"]["user"] = self.broker_user
            if self.broker_password is not None or self.broker_user is not None:
                items["mqtt"]["password"] = self.broker_password or _ask(
                    tr("Password at the broker {host}", host=host)
                )
        return items


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
        tr(
            "it did not come back within {within_s:.0f} s{why}; look at its status lamp, or at its console over USB",
            within_s=within_s,
            why=why,
        )
    )


def configure(link: NodeLink, told: Mapping[str, Any], changes: Sequence[str]) -> None:
    """Hand the node its configuration with these KEY=VALUEs in it, and await what it says to that."""
    present = settable(told)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise click.UsageError(tr("--set {change}: expected KEY=VALUE", change=change))
        if key not in present:
            near = difflib.get_close_matches(key, present, n=1)
            hint = (
                tr(', did you mean "{near}"?', near=near[0])
                if near
                else tr("; there is {known}", known=", ".join(present))
            )
            raise click.UsageError(
                tr(
                    "--set {change}: {node} has no {key} that can be set{hint}",
                    change=change,
                    node=link.name,
                    key=key,
                    hint=hint,
                )
            )
        try:
            present[key] = int(text)
        except ValueError:
            raise click.UsageError(tr("--set {change}: expected a whole number", change=change)) from None
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
            click.echo(tr("{node}: has configuration {revision}", node=link.name, revision=revision))
            return
        if now.get("config_error") and now["config_error"] != refused_before:
            raise NodeError(
                tr(
                    "{node} refuses it and keeps configuration {revision}: {words}",
                    node=link.name,
                    revision=now["rev"],
                    words=in_words(now["config_error"]),
                )
            )
        time.sleep(0.3)
    way_out = (
        tr("; may this user write footfall/1/{node}/config (the broker's access list)?", node=link.name)
        if isinstance(link, MqttLink)
        else ""
    )
    raise NodeError(
        tr(
            "{node} did not take configuration {revision} within {CONFIG_WITHIN_S:.0f} s{way_out}",
            node=link.name,
            revision=revision,
            CONFIG_WITHIN_S=CONFIG_WITHIN_S,
            way_out=way_out,
        )
    )


def refuse_if_managed(target: Target, link: NodeLink) -> None:
    """NodeError where the gateway configures this node: it would put back what is changed here."""
    settings = target.settings()
    if settings is None:
        return
    managed = content_of(settings, places_of(settings), link.name, time.time_ns() // 1_000_000)
    if managed:
        raise NodeError(
            tr(
                "{node} gets its configuration from {path} ({what}), and the gateway would put it back: change "
                "it there ([[node]], [[question]]) and restart footfall run",
                node=link.name,
                path=settings.path,
                what=", ".join(managed),
            )
        )


def await_connection(target: Target, before: Mapping[str, Any], within_s: int, *, moved: bool) -> None:
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
                    tr(
                        "{node}: no longer at this broker; it is at the new one, or back here soon with connect_error. "
                        "footfall node info over USB tells",
                        node=before["node"],
                    )
                )
                return
            raise
        if told.get("connect_error"):
            raise NodeError(
                tr(
                    "{node}: the new connection was given up, the old one is used again: {words}",
                    node=before["node"],
                    words=in_words(told["connect_error"]),
                )
            )
        if not told.get("trial"):
            click.echo(
                tr(
                    "{node}: the gateway was reached, the new connection is kept ({connection})",
                    node=before["node"],
                    connection=connection_words(told["net"]),
                )
            )
            return
        boot = int(told["boot"]) - 1
        time.sleep(1.0)
    raise NodeError(
        tr(
            "{node}: not heard of the trial's end; footfall node info shows connect_error",
            node=before["node"],
        )
    )


def _password_in(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_PASSWORD_BYTES + 1).decode("utf-8-sig").strip()
    except OSError as error:
        raise click.UsageError(tr("{file}: cannot be read: {why}", file=file, why=in_short(error))) from None
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or len(text) > MAX_PASSWORD_BYTES:
        raise click.UsageError(tr("{file}: expected the password as its only line", file=file))
    return text


def _ask(question: str, default: str | None = None) -> str:
    return str(click.prompt(question, default, hide_input=True, show_default=False, err=True))


def _host_and_port(text: str) -> tuple[str, int | None]:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text)), None
    host, colon, port = text.partition(":")
    if not re.fullmatch(HOST, host) or (colon and not (port.isdecimal() and 1 <= int(port) <= 65535)):
        raise click.UsageError(tr("--broker {text}: expected HOST or HOST:PORT", text=text))
    return host, int(port) if colon else None
