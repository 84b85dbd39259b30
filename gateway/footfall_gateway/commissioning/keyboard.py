"""Lines from whoever answers, and in a terminal single keys, while a program goes on watching something else. Used by `accept_cli`."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterator

__all__ = ["Keyboard", "StoppedError"]


class StoppedError(Exception):
    """The person has had enough for now, or the input has ended."""


class Keyboard:
    """Lines, and in a terminal single keys, without stopping the live line."""

    def __init__(self) -> None:
        self._read: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        self._ended = False
        self._fd = sys.stdin.fileno()
        threading.Thread(target=self._listen, name="keyboard", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 1024)
            except OSError:
                data = b""
            self._read.put(data)
            if not data:
                return

    def line(self, within_s: float) -> str | None:
        """The next line; None where there is none yet. StoppedError at the end of the input."""
        if b"\n" not in self._rest:
            self._take(within_s)
        if b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            return line.decode("utf-8", "replace").strip()
        if self._ended:
            raise StoppedError
        return None

    def key(self, within_s: float) -> str:
        """The next key, "" where there is none yet; only within `single_keys`."""
        if not self._rest:
            self._take(within_s)
        if not self._rest and self._ended:
            raise StoppedError
        key, self._rest = self._rest[:1], self._rest[1:]
        return key.decode("ascii", "replace").lower()

    def _take(self, within_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            data = self._read.get(timeout=within_s)
            self._ended = self._ended or not data
            self._rest += data

    @contextlib.contextmanager
    def single_keys(self) -> Iterator[None]:
        """Keys come without Enter, and do not show."""
        import termios  # noqa: PLC0415 - not on Windows, where only totals are asked for
        import tty  # noqa: PLC0415

        before = termios.tcgetattr(self._fd)
        try:
            tty.setcbreak(self._fd)
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)

    @property
    def has_keys(self) -> bool:
        """Whether single keys can be had."""
        return os.name == "posix" and os.isatty(self._fd)
