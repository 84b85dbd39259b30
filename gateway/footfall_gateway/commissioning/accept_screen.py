"""What `footfall accept` shows and what is typed: a live line in a terminal, plain lines elsewhere. Used by `accept_cli`."""

from collections.abc import Callable

import click
from rich.console import Console

from footfall_gateway.commissioning.accept_words import say
from footfall_gateway.commissioning.keyboard import Keyboard, StoppedError

__all__ = ["LOOK_S", "Screen"]

LOOK_S = 0.2  # between two looks at the keyboard


class Screen:
    """Says and asks in one language. `keyboard` is open to whoever needs single keys."""

    def __init__(self) -> None:
        self.keyboard = Keyboard()
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._shown = ""

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold", markup=False)

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False)

    def status(self, text: str) -> None:
        """A line that is written over: in a terminal; elsewhere a line for each change."""
        if text == self._shown:
            return
        self._shown = text
        if self._live:
            click.echo(f"\r{text}\x1b[K", nl=False)
        elif text:
            click.echo(text)

    def status_ends(self) -> None:
        if self._live and self._shown:
            click.echo()
        self._shown = ""

    def typed(self, within_s: float) -> str | None:
        """The next line, None where there is none yet. StoppedError where it is q."""
        line = self.keyboard.line(within_s)
        if line is not None and line.lower() == "q":
            self.status_ends()
            raise StoppedError
        return line

    def answer(self, meanwhile: Callable[[], None] | None = None) -> str:
        """The next line; `meanwhile`, which takes its time, is called until it comes. StoppedError where it is q."""
        while True:
            if meanwhile is not None:
                meanwhile()
            line = self.typed(LOOK_S if meanwhile is None else 0.0)
            if line is not None:
                return line

    def again(self) -> bool:
        """Whether the answer is r: do it once more."""
        return self.answer().lower() == "r"

    def skipped(self) -> bool:
        """Whether the answer is s, which is then confirmed."""
        if self.answer().lower() != "s":
            return False
        self.line(say("skipped"))
        return True

    def yes(self, question: str) -> bool:
        self._console.print(question + say("yes_no"), markup=False, end="")
        return self.answer().lower().startswith(("y", "j"))

    def text(self, what: str, usual: str = "") -> str:
        hint = f" [{usual}]" if usual else ""
        self._console.print(f"{what}{hint}: ", markup=False, end="")
        return self.answer() or usual

    def number(self, what: str, least: int, most: int, usual: int | None = None) -> int:
        while True:
            text = self.text(what, "" if usual is None else str(usual))
            if text.isdigit() and least <= int(text) <= most:
                return int(text)
            self.line(say("a_number", least=least, most=most))
