"""Where a command writes: standard streams in whatever state it was given them, and files that appear whole or not at all.

`cli.main` calls `prepare_standard_streams` first and `give_up` last; `footfall export` and `footfall recount` write with `whole_file`.
"""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["give_up", "prepare_standard_streams", "unwritable", "whole_file"]

# What a terminal shows whose character set lacks the sign; everything else becomes a question mark
PLAIN = {
    "✓": "[ok]", "✗": "[!!]", "…": "...", "·": "-", "━": "=",
    "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss",
}  # fmt: skip
PLAIN_ERRORS = "footfall-plain"


def prepare_standard_streams() -> None:
    """Makes the three streams usable: open ones write every character, closed ones (`>&-`) lead to nowhere.

    A closed one must be opened before any file is: that file would get its number, and what is meant for the terminal.
    """
    codecs.register_error(PLAIN_ERRORS, _plain)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def unwritable(stream: IO[str]) -> bool:
    """Whether what was written to the stream cannot get out: a full disk, a closed pipe."""
    try:
        stream.flush()
    except OSError:
        return True
    return False


def give_up(stream: IO[str]) -> None:
    """Let what the stream still holds go to nowhere, so that the end of the program does not fail over it again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that takes the place of `path` once it is complete; whatever goes wrong, `path` stays as it was.

    A device or a pipe is written as it is, and of a link the file that it leads to. An OSError of the writing names `path`.
    """
    target = Path(os.path.realpath(path))
    in_place = path.exists() and not path.is_file()
    unfinished = path if in_place else target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            if not in_place:
                os.fsync(file.fileno())
        if not in_place:
            unfinished.replace(target)
    except OSError as error:
        if error.filename not in (None, str(unfinished)):
            raise  # of what the caller reads meanwhile
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if not in_place:
            with contextlib.suppress(OSError):
                unfinished.unlink()
