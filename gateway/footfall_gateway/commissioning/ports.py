"""Which serial port the board is at, and opening it. Called by everything here that works over the cable."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import serial
from serial.tools import list_ports

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.language import marked, told, tr
from footfall_gateway.serial_ports import NO_SERIAL_PORT, group_of, users_of

__all__ = ["BAUD", "Port", "candidates", "check_usable", "choose", "opened"]

# USB vendor and product of what sits on ESP32 boards, and what it is called there; None: every product of the vendor
_BRIDGES: dict[tuple[int, int | None], str] = {
    (0x10C4, 0xEA60): "CP210x",
    (0x10C4, 0xEA70): "CP2105",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x55D3): "CH343",
    (0x1A86, 0x55D4): "CH9102",
    (0x0403, 0x6001): "FT232R",
    (0x0403, 0x6010): "FT2232",
    (0x0403, 0x6015): "FT231X",
    (0x303A, None): marked("the USB port of the chip itself"),
}
_NATIVE = 0x303A
BAUD = 115_200
BUSY_PATIENCE_S = 5.0
RETURN_PATIENCE_S = 10.0
# Ports that could be opened in this run -> the marks of the board there, if it is a chip with a USB port of its own
_seen: dict[str, frozenset[str]] = {}
_REMOTE = "://"  # socket:// and rfc2217:// lead to a board at another computer


@dataclass(frozen=True)
class Port:
    """A port at which there is, by its USB chip, a board."""

    device: str
    bridge: str  # its USB chip
    where: str  # what tells two of them apart, may be empty

    def __str__(self) -> str:
        return f"{self.device}  {self.bridge}" + (f"  {self.where}" if self.where else "")


def candidates() -> list[Port]:
    """The ports that look like an ESP32 board, in the order of their names."""
    found = []
    for info in list_ports.comports():
        bridge = _BRIDGES.get((info.vid, info.pid)) or _BRIDGES.get((info.vid, None))
        if bridge:
            found.append(
                Port(info.device, tr(bridge), " ".join(filter(None, (info.serial_number, info.location))))
            )
    return sorted(found, key=lambda port: port.device)


def choose(wanted: str | None, ask: Callable[[Sequence[Port]], Port] | None) -> Port:
    """The port that the user named, or the only one with a board, or the one that `ask` returns.

    Without `ask` (nobody is at the keyboard) several boards are an error, with their ports in it.
    """
    if wanted:
        known = {port.device: port for port in candidates()}
        return known.get(wanted, Port(wanted, tr("named by --port"), ""))
    ports = candidates()
    if not ports:
        raise CommissioningError(
            tr("no board found on any USB port"),
            tr(
                "Is it plugged in? Is the cable one with data lines (many that charge a phone have none)? Try another cable,"
            ),
            tr(
                "and another socket, without a hub. On Windows and macOS the board's USB chip may need its driver (CP210x, CH340)."
            ),
            _not_known()
            or tr(
                "If you know the port: --port {example}",
                example="COM5" if os.name == "nt" else "/dev/ttyUSB0",
            ),
        )
    if len(ports) == 1:
        return ports[0]
    if ask is None:
        raise CommissioningError(
            tr("{count} boards found:", count=len(ports)),
            *(f"  {port}" for port in ports),
            tr("Say which one: --port PORT"),
        )
    return ask(ports)


def _not_known() -> str:
    """The USB serial ports whose chip is none that boards usually have."""
    others = [
        f"{info.device} ({info.vid:04x}:{info.pid:04x})"
        for info in list_ports.comports()
        if info.vid is not None
    ]
    return (
        tr("There is {ports}: if that is the board, name it with --port", ports=", ".join(others))
        if others
        else ""
    )


def check_usable(device: str) -> str:
    """Open and close the port as `opened` does; returns the name that it has now."""
    port = opened(device)
    port.close()
    return str(port.port)


def opened(device: str, *, timeout_s: float = 1.0, write_timeout_s: float | None = None) -> Any:
    """The port as a serial.Serial, open, DTR and RTS let go of; CommissioningError with the way out where that fails.

    A port that is in use is tried again for a while: a desktop's modem manager looks at whatever is plugged in. So is one that
    was there before: where the chip itself is the USB device, the port goes and comes with every restart of the board, and may
    come back under another name.
    """
    began = time.monotonic()
    said_so = False
    while True:
        now = _present_name(device)
        try:
            port = _open(now, timeout_s, write_timeout_s)
        except (OSError, ValueError, serial.SerialException) as error:
            busy = _is_busy(error)
            gone = device in _seen and _is_gone(error)
            patience_s = RETURN_PATIENCE_S if gone else BUSY_PATIENCE_S if busy else 0.0
            if time.monotonic() - began > patience_s:
                raise _unusable(now, error, was_there=gone) from None
            if busy and not said_so:
                said_so = True
                users = ", ".join(map(told, users_of(now))) or tr("another program")
                click.echo(
                    tr("\r{now}: in use by {users}; waiting a few seconds …", now=now, users=users), err=True
                )  # \r: over "asking …"
            time.sleep(0.2)
        else:
            _seen.setdefault(device, _marks(now))
            return port


def _open(device: str, timeout_s: float, write_timeout_s: float | None) -> Any:
    port = serial.serial_for_url(device, BAUD, do_not_open=True, exclusive=True, timeout=timeout_s)
    if _REMOTE not in device:
        port.write_timeout = write_timeout_s  # pyserial has none for what is not a port of this computer
    port.dtr = port.rts = False  # on most boards they are wired to reset and boot mode
    port.open()
    return port


def _marks(device: str) -> frozenset[str]:
    """What the board at `device` keeps when it starts anew as another USB device: its serial number, its socket."""
    for info in list_ports.comports():
        if info.device == device and info.vid == _NATIVE:
            return _marks_of(info)
    return frozenset()


def _marks_of(info: Any) -> frozenset[str]:
    number = (info.serial_number or "").replace(":", "").lower()  # the loader writes it with colons
    socket = (info.location or "").split(":")[0]
    return frozenset(filter(None, (number, socket)))


def _present_name(device: str) -> str:
    """Where the board is that was at `device` when that was opened first."""
    marks = _seen.get(device)
    if not marks:
        return device
    names = [info.device for info in list_ports.comports() if info.vid == _NATIVE and marks & _marks_of(info)]
    return device if device in names or not names else str(names[0])


def _is_gone(error: Exception) -> bool:
    number = getattr(error, "errno", None)
    return number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO) or "FileNotFoundError" in str(error)


def _is_busy(error: Exception) -> bool:
    text = str(error)
    return (
        getattr(error, "errno", None) in (errno.EBUSY, errno.EAGAIN)
        or "exclusively lock" in text
        or "PermissionError" in text  # Windows
    )


def _unusable(device: str, error: Exception, *, was_there: bool) -> CommissioningError:
    number = getattr(error, "errno", None)
    text = str(error)
    if _REMOTE in device:
        return CommissioningError(
            tr("{device}: no connection ({text})", device=device, text=text),
            tr("Does the program at the other end run, and on that port?"),
        )
    if was_there:
        return CommissioningError(
            tr("{device}: the board has gone, and does not come back", device=device),
            tr(
                "Was the cable pulled, or is it loose? Plug it in again and give the same command: it goes on where it stopped."
            ),
        )
    if number == errno.ENOENT or "FileNotFoundError" in text:
        return CommissioningError(
            tr("{device}: there is no such port", device=device),
            tr("Is the board plugged in? Leave --port out, and footfall looks for it."),
        )
    if number == errno.EACCES:
        group = group_of(device)
        return CommissioningError(
            tr(
                "{device}: you may not use this port, it belongs to the group {group}",
                device=device,
                group=group,
            ),
            tr("Type: sudo adduser $USER {group}", group=group),
            tr("Then log out and in again (or restart the computer), and try again."),
        )
    if _is_busy(error):
        users = [told(user) for user in users_of(device)]
        return CommissioningError(
            tr("{device}: another program uses this port", device=device)
            + (f": {', '.join(users)}" if users else ""),
            tr("Close it: a serial monitor, mpremote, or the gateway itself (sudo systemctl stop footfall)."),
        )
    what, way_out = (
        tr("cannot be opened ({text})", text=text),
        tr("Unplug the board, plug it in again, and try again."),
    )
    if NO_SERIAL_PORT in text:
        what, way_out = (
            tr("this is no serial port"),
            tr("Leave --port out, and footfall looks for the board."),
        )
    return CommissioningError(f"{device}: {what}", way_out)
