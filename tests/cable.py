"""A USB cable for tests: a pseudo terminal behind a name of its own."""

import os
import tty
from pathlib import Path
from typing import Self


class Cable:
    """`path` is the port that the programs open, `node` the board's end; `plug` and `pull` as with a real cable.

    The path is a link in the test's own folder, and the link goes before the terminal does: the system gives the number of a
    closed terminal to the next one at once, in another test's process too, and whoever waits for the port would open that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.node = -1
        self._near = -1  # kept open, or the far end could not be read before a program has opened its end

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        if self.node >= 0:
            self.pull()

    def plug(self) -> None:
        self.node, self._near = os.openpty()
        tty.setraw(self._near)
        self.path.symlink_to(os.ttyname(self._near))

    def pull(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.node)
        os.close(self._near)
        self.node = -1

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.node, data) :]

    def read_line(self) -> bytes:
        """What a program says to the node, one line."""
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.node, 1)
        return line
