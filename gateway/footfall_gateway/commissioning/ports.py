"""Which serial port the board is at, and whether it can be used. Called by the commands that work over the cable."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.tools import list_ports

from footfall_gateway.commissioning import CommissioningError

__all__ = ["Port", "candidates", "check_usable", "choose"]

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
    (0x303A, None): "the USB port of the chip itself",
}
BUSY_PATIENCE_S = 3.0
RETURN_PATIENCE_S = 10.0
_seen: set[str] = set()  # ports that could be opened in this run
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
                Port(info.device, bridge, " ".join(filter(None, (info.serial_number, info.location))))
            )
    return sorted(found, key=lambda port: port.device)


def choose(wanted: str | None, ask: Callable[[Sequence[Port]], Port] | None) -> Port:
    """The port that the user named, or the only one with a board, or the one that `ask` returns.

    Without `ask` (nobody is at the keyboard) several boards are an error, with their ports in it.
    """
    if wanted:
        known = {port.device: port for port in candidates()}
        return known.get(wanted, Port(wanted, "named by --port", ""))
    ports = candidates()
    if not ports:
        raise CommissioningError(
            "no board found on any USB port",
            "Is it plugged in? Is the cable one with data lines (many that charge a phone have none)? Try another cable,",
            "and another socket, without a hub. On Windows and macOS the board's USB chip may need its driver (CP210x, CH340).",
            "If you know the port: --port " + ("COM5" if os.name == "nt" else "/dev/ttyUSB0"),
        )
    if len(ports) == 1:
        return ports[0]
    if ask is None:
        raise CommissioningError(
            f"{len(ports)} boards found:", *(f"  {port}" for port in ports), "Say which one: --port PORT"
        )
    return ask(ports)


def check_usable(device: str) -> None:
    """Open and close the port; CommissioningError with the way out where that fails.

    A port that is in use is tried again for a moment: a desktop's modem manager looks at whatever is plugged in. So is one that
    was there before: where the chip itself is the USB device, the port goes and comes with every restart of the board.
    """
    began = time.monotonic()
    while True:
        try:
            serial.serial_for_url(device, exclusive=True, timeout=1).close()
        except (OSError, ValueError, serial.SerialException) as error:
            gone = device in _seen and getattr(error, "errno", None) in (
                errno.ENOENT,
                errno.ENODEV,
                errno.EIO,
            )
            patience_s = RETURN_PATIENCE_S if gone else BUSY_PATIENCE_S if _is_busy(error) else 0.0
            if time.monotonic() - began > patience_s:
                raise _unusable(device, error) from None
            time.sleep(0.2)
        else:
            _seen.add(device)
            return


def _is_busy(error: Exception) -> bool:
    text = str(error)
    return (
        getattr(error, "errno", None) in (errno.EBUSY, errno.EAGAIN)
        or "exclusively lock" in text
        or "PermissionError" in text  # Windows
    )


def _unusable(device: str, error: Exception) -> CommissioningError:
    number = getattr(error, "errno", None)
    text = str(error)
    if _REMOTE in device:
        return CommissioningError(
            f"{device}: no connection ({text})", "Does the program at the other end run, and on that port?"
        )
    if number == errno.ENOENT or "FileNotFoundError" in text:
        return CommissioningError(
            f"{device}: there is no such port",
            "Is the board plugged in? Leave --port out, and footfall looks for it.",
        )
    if number == errno.EACCES:
        group = _group_of(device)
        return CommissioningError(
            f"{device}: you may not use this port, it belongs to the group {group}",
            f"Type: sudo adduser $USER {group}",
            "Then log out and in again (or restart the computer), and try again.",
        )
    if _is_busy(error):
        users = _users_of(device)
        return CommissioningError(
            f"{device}: another program uses this port" + (f": {', '.join(users)}" if users else ""),
            "Close it: a serial monitor, mpremote, or the gateway itself (sudo systemctl stop footfall).",
        )
    return CommissioningError(
        f"{device}: cannot be opened ({text})", "Unplug the board, plug it in again, and try again."
    )


def _group_of(device: str) -> str:
    try:
        return Path(device).group()
    except (OSError, KeyError, NotImplementedError):
        return "dialout"


def _users_of(device: str) -> list[str]:
    """The programs that hold the port open, as far as Linux lets us see them."""
    target = os.path.realpath(device)
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(os.path.realpath(link) == target for link in (process / "fd").iterdir()):
                found.add(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:
            continue  # not ours to look at, or gone
    return sorted(found)
