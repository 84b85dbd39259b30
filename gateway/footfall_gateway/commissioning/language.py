"""In which language a command speaks: English, or German where the computer does or `--language de` is given. Used by `footfall flash` and `accept`.

Sentences stand in English where they are said, as `tr("{path}: cannot be read", path=path)`; their German is in `german.GERMAN`. What a node, its rules or
the operating system say arrives in English: `told` looks it up in `german.TOLD`. A command without `language_option` speaks English.
"""

import functools
import locale
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from footfall_gateway.commissioning.german import GERMAN, TOLD

if TYPE_CHECKING:
    import click

__all__ = [
    "LANGUAGES",
    "current",
    "language_option",
    "marked",
    "of_this_computer",
    "speak",
    "told",
    "tr",
    "why",
]

LANGUAGES = ("en", "de")
NUMBERS = (
    "number",
    "seconds",
    "least",
    "most",
)  # placeholders of what others say; the others stand for any words
NUMBER = r"-?\d+"

_C = TypeVar("_C", bound=Callable[..., Any])
_now = [LANGUAGES[0]]  # one for the whole program: links speak from threads of their own


def of_this_computer() -> str:
    """The language that the computer is set to; English where that is neither."""
    for name in (
        os.environ.get("LC_ALL"),
        os.environ.get("LC_MESSAGES"),
        os.environ.get("LANG"),
        locale.getlocale()[0],
    ):
        if name:
            return "de" if name.lower().startswith(("de", "german")) else "en"
    return "en"


def language_option(command: _C) -> _C:
    """--language: while the command runs, everything that it says is said in it."""
    import click  # noqa: PLC0415 - sentences are also said where nothing is installed

    def begin(context: "click.Context", _option: "click.Parameter", wanted: str | None) -> None:
        speak(wanted or of_this_computer())
        context.call_on_close(lambda: speak(LANGUAGES[0]))

    return click.option(
        "--language",
        type=click.Choice(LANGUAGES),
        callback=begin,
        expose_value=False,
        is_eager=True,
        help="Default: that of the computer.",
    )(command)


def speak(language: str) -> None:
    """From now on it is this language."""
    _now[0] = language


def current() -> str:
    """The language that is spoken now."""
    return _now[0]


def tr(sentence: str, /, **values: object) -> str:
    """An English sentence in the language that is spoken now, with its values filled in."""
    if current() == "de":
        sentence = GERMAN.get(sentence, sentence)
    return sentence.format(**values) if values else sentence


def marked(sentence: str) -> str:
    """The sentence itself: it stands in a table, and is given to `tr` when it is said."""
    return sentence


def told(words: str) -> str:
    """What others have said in English, as far as it is known; the rest stays as it is.

    The placeholder {words} of a known sentence stands for another one of them.
    """
    if current() != "de":
        return words
    if words in TOLD:
        return TOLD[words]
    for pattern, german in _patterns():
        if found := pattern.fullmatch(words):
            values = found.groupdict()
            return german.format(**{k: told(v) if k == "words" else v for k, v in values.items()})
    return words


def why(error: OSError) -> str:
    """What the operating system says, as it stands within a sentence."""
    text = error.strerror or str(error)
    german = told(text)
    return german if german != text else text.lower()


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The sentences with placeholders, in the order of the table."""

    def group(found: re.Match[str]) -> str:
        return rf"(?P<{found[1]}>{NUMBER if found[1] in NUMBERS else '.+?'})"

    return [
        (re.compile(re.sub(r"\\\{(\w+)\\\}", group, re.escape(sentence)), re.DOTALL), german)
        for sentence, german in TOLD.items()
        if "{" in sentence
    ]
