"""What is to be known about a serial port that does not open: who has it, whose it is, which others there are. Linux only.

Used by `link_serial` and `commissioning.ports` for their words. Nothing here opens a port.
"""

import getpass
import os
from pathlib import Path

__all__ = ["NO_SERIAL_PORT", "group_of", "other_ports", "user", "users_of"]

NO_SERIAL_PORT = "Inappropriate ioctl"  # in pyserial's words for a file, a folder, /dev/null
DEV = Path("/dev")
PROCESSES = Path("/proc")


def group_of(device: str) -> str:
    """The group whose members may open it; on Debian dialout."""
    try:
        return Path(device).group()
    except (OSError, KeyError, NotImplementedError):  # the last: on Windows
        return "dialout"


def user() -> str:
    """Who this process is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def users_of(device: str) -> list[str]:
    """The programs that have the port open, as far as this user may see them: `minicom (process 123)`."""
    target = os.path.realpath(device)
    found = set()
    for process in PROCESSES.glob("[0-9]*"):
        try:
            if any(os.path.realpath(link) == target for link in (process / "fd").iterdir()):
                found.add((int(process.name), (process / "comm").read_text().strip()))
        except OSError:
            continue  # not ours to look at, or gone
    return [f"{name} (process {number})" for number, name in sorted(found)]


def other_ports(device: str) -> list[str]:
    """The USB serial ports that are there instead, by the names that stay the same after a replug where they have one."""
    named = sorted(DEV.glob("serial/by-id/*"))
    targets = {os.path.realpath(one) for one in named}
    plain = [one for kind in ("ttyUSB*", "ttyACM*") for one in sorted(DEV.glob(kind))]
    found = [*named, *(one for one in plain if os.path.realpath(one) not in targets)]
    return [str(one) for one in found if str(one) != device]
