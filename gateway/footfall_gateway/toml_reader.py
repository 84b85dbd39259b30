"""Reads a TOML file into frozen structs and notes everything that is wrong with it, line by line. Used by `settings`.

msgspec stops at the first mistake and knows no line numbers; someone who fills in a settings file wants all of them,
with the place. So the tables are walked here, and msgspec checks one value at a time. A field's annotation carries all
that is needed: `Meta` for limits and for the words of the error, and beside it any checks, such as
`Annotated[Path, Meta(description="the path of a file"), certificate_file]`. A check is called with the value, its key
and the reader, and calls `reader.problem` if it does not like it.
"""

import datetime as dt
import difflib
import re
import ssl
import stat
import tomllib
import types
import typing
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "Key",
    "Secret",
    "SettingsError",
    "TomlReader",
    "certificate_file",
    "dotted",
    "http_address",
    "printable",
    "readable_file",
    "reason",
    "secret_file",
    "timezone_name",
]

MAX_SETTINGS_BYTES = 1_000_000  # far above a hundred sites; protects against naming a database by mistake
MAX_CERTIFICATE_BYTES = 4_000_000  # the system's own bundle of all authorities has 200 kB
MAX_SECRET_BYTES = 16_384  # a token is some hundred bytes; more means that another file was named

Key = tuple[str | int, ...]  # ("site", 0, "door", 1, "barrier")


class Secret:
    """A password or token. `reveal()` gives it; printing and logging do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"


class SettingsError(Exception):
    """The settings cannot be used. `problems`: every reason, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [printable(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class TomlReader:
    """One file being read. `table()` returns the structs, `raise_problems()` ends it if anything was wrong.

    `synonyms` maps what people write to what the key is called, for the hint "did you mean".
    Raises `SettingsError` at once if the file cannot be read or is not TOML.
    """

    def __init__(self, path: Path, synonyms: Mapping[str, str]) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self.secrets: dict[Key, Secret] = {}
        self.warnings: list[str] = []
        self._synonyms = synonyms
        self._problems: list[tuple[int, str]] = []
        self.raw, self._lines = _read_toml(path)

    def problem(self, key: Key, words: str) -> None:
        line = self._lines.of(key)
        place = f"{self.path}:{line}" if line else str(self.path)
        text = f"{place}: {dotted(key)}: {words}" if key else f"{place}: {words}"
        self._problems.append((line or 0, text))

    def warning(self, key: Key, words: str) -> None:
        self.warnings.append(printable(f"{self.path}: {dotted(key)}: {words}"))

    def raise_problems(self) -> None:
        if self._problems:
            raise SettingsError([text for _, text in sorted(self._problems)])

    def table(self, raw: object, kind: type[Struct], key: Key = ()) -> Struct | None:
        """The struct of `kind` that the table `raw` describes, or None after at least one problem."""
        if not isinstance(raw, dict):
            self.problem(key, f"found {shown(raw)}, expected a table [{_header(key)}]")
            return None
        known = {info.encode_name: info for info in msgspec.structs.fields(kind)}
        before = len(self._problems)
        for name in raw:
            if name not in known:
                self.problem((*key, name), f"unknown key{self._hint(name, list(known))}")
        values: dict[str, Any] = {}
        for name, info in known.items():
            if name in raw:
                values[info.name] = self._value(raw[name], info.type, (*key, name))
            elif info.required:
                self.problem((*key, name), f"missing, expected {_expectation(info.type)}")
            elif isinstance(info.default, Path):
                values[info.name] = self.folder / info.default
        return kind(**values) if len(self._problems) == before else None

    def _value(self, raw: object, annotation: Any, key: Key) -> Any:
        kind = _bare(annotation)
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self.table(raw, kind, key)
        element = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
        if isinstance(element, type) and issubclass(element, Struct):
            if isinstance(raw, list):
                return tuple(self.table(item, element, (*key, i)) for i, item in enumerate(raw))
            self.problem(key, f"found {shown(raw)}, expected [[{_header(key)}]] with double brackets")
            return ()
        try:
            value = self._converted(raw, kind, annotation)
        except (ValueError, OverflowError, RuntimeError):  # RuntimeError: "~name" where there is no such user
            self.problem(key, f"found {shown(raw)}, expected {_expectation(annotation)}")
            return None
        for check in _metadata(annotation):
            if callable(check):
                check(value, key, self)
        return value

    def _converted(self, raw: object, kind: Any, annotation: Any) -> Any:
        if kind is Path:
            if not isinstance(raw, str) or not raw or "\0" in raw:
                raise ValueError(raw)
            return self.folder / Path(raw).expanduser()
        if kind is dt.date and type(raw) is not dt.date:  # msgspec would take a text, or cut the time off
            raise ValueError(raw)
        return msgspec.convert(raw, annotation)

    def _hint(self, name: str, known: list[str]) -> str:
        synonym = self._synonyms.get(name.lower())
        close = difflib.get_close_matches(name.lower(), known, n=1)
        if synonym in known:
            return f', did you mean "{synonym}"?'
        if close:
            return f', did you mean "{close[0]}"?'
        return f", expected one of: {', '.join(known)}"


def dotted(key: Key) -> str:
    """`("site", 0, "door", 1, "barrier")` as `site[0].door[1].barrier`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A value as an error shows it: as in TOML, short, without control characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "a list of tables"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    text = printable(f'"{value}"' if isinstance(value, str) else repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def printable(text: str) -> str:
    """One line: line breaks and control characters (they may stand in a path, or come from a node) as Python writes them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: OSError) -> str:
    """Why the operating system refused, in its own words and small letters."""
    return (error.strerror or str(error)).lower()


# ---------------------------------------------------------------------------------------- checks beside a field's type


def timezone_name(value: str, key: Key, reader: TomlReader) -> None:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = difflib.get_close_matches(value, sorted(zoneinfo.available_timezones()), n=1)
        hint = f', did you mean "{close[0]}"?' if close else ""
        reader.problem(key, f'found {shown(value)}, expected a time zone such as "Europe/Berlin"{hint}')


def http_address(value: str, key: Key, reader: TomlReader) -> None:
    expected = "expected an address such as http://127.0.0.1:8086"
    try:
        url = urlsplit(value)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", value):
        reader.problem(key, f"found {shown(value)}, {expected}")
    elif url.username or url.password:
        reader.problem(key, f"found a user name or password in it, {expected} (and those in token_file)")
    elif url.query or url.fragment:
        reader.problem(key, f"found {shown(value)}, {expected}, without ? and #")


def certificate_file(value: Path, key: Key, reader: TomlReader) -> None:
    data = _content(value, MAX_CERTIFICATE_BYTES, key, reader)
    if data is None:
        return
    try:
        ssl.create_default_context(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError):
        reader.problem(key, f"{value} holds no certificate, expected PEM text (-----BEGIN CERTIFICATE-----)")


def readable_file(value: Path, key: Key, reader: TomlReader) -> None:
    _content(value, 1, key, reader)


def secret_file(value: Path, key: Key, reader: TomlReader) -> None:
    """Puts the one line of the file into `reader.secrets`; a file that others may read gives a warning."""
    data = _content(value, MAX_SECRET_BYTES + 1, key, reader)
    if data is None:
        return
    text = data.decode("utf-8-sig", errors="replace").strip()
    if not text:
        reader.problem(key, f"{value} is empty, expected the secret as its only line")
    elif len(data) > MAX_SECRET_BYTES or not text.isprintable() or "\ufffd" in text:
        reader.problem(key, f"{value} does not look like a secret, expected one line of text")
    else:
        reader.secrets[key] = Secret(text)
    mode = stat.S_IMODE(value.stat().st_mode)
    if mode & 0o077:
        reader.warning(key, f"{value} is open to other users (mode {mode:03o}), `chmod 600` closes it")


def _content(path: Path, most: int, key: Key, reader: TomlReader) -> bytes | None:
    """The first bytes of a file, or None after a problem. Devices and pipes are not files here: they may never end."""
    try:
        if path.exists() and not path.is_file():
            reader.problem(key, f"{path} is not a file, expected one that can be read")
            return None
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        reader.problem(key, f"{path} cannot be read: {reason(error)}")
        return None


# ------------------------------------------------------------------------------------------------------ the text


def _read_toml(path: Path) -> tuple[dict[str, Any], "_Lines"]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except FileNotFoundError:
        raise SettingsError(
            [f"{path}: there is no such file; footfall.example.toml shows what to write"]
        ) from None
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read: {reason(error)}"]) from None
    if len(data) > MAX_SETTINGS_BYTES:
        raise SettingsError([f"{path}: larger than {MAX_SETTINGS_BYTES} bytes, this is not a settings file"])
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")  # some editors put a byte order mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{path}:{line}: not UTF-8 text, expected a file saved as UTF-8"]) from None
    try:
        return tomllib.loads(text), _Lines(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
        where, what = (
            (f"{path}:{match[2]}", f"{match[1]} (column {match[3]})") if match else (str(path), str(error))
        )
        raise SettingsError([f"{where}: not valid TOML: {what}"]) from None


class _Lines:
    """Finds the line of a key: a light second look at the text, as tomllib keeps no positions. Best effort: a key
    that it cannot place (in an inline table, say) gets the line of its table."""

    _HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
    _KEY = re.compile(r"^\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*=\s*(.*)$")

    def __init__(self, text: str) -> None:
        self._lines: dict[Key, int] = {}
        counts: dict[Key, int] = {}
        table: Key = ()
        closing: str | None = None
        for number, line in enumerate(text.split("\n"), 1):
            if closing is not None:  # inside a text of several lines
                closing = None if closing in line else closing
            elif header := self._HEADER.match(line):
                table = ()
                parts = [part.strip().strip("\"'") for part in header[2].split(".")]
                for position, part in enumerate(parts, 1):
                    table = (*table, part)
                    if position == len(parts) and header[1] == "[[":
                        counts[table] = counts.get(table, -1) + 1
                    if table in counts:
                        table = (*table, counts[table])
                self._lines.setdefault(table, number)
            elif key := self._KEY.match(line):
                self._lines.setdefault((*table, key[1].strip("\"'")), number)
                closing = next((quotes for quotes in ('"""', "'''") if key[2].count(quotes) == 1), None)

    def of(self, key: Key) -> int | None:
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return None


# ----------------------------------------------------------------------------------------------------- annotations


def _header(key: Key) -> str:
    return ".".join(part for part in key if isinstance(part, str))


def _layers(annotation: Any) -> Iterator[Any]:
    """The annotation, then what is left without its `Annotated`, then without `| None`, down to the bare type."""
    yield annotation
    if typing.get_origin(annotation) is Annotated:
        yield from _layers(typing.get_args(annotation)[0])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        yield from _layers(next(a for a in typing.get_args(annotation) if a is not type(None)))


def _bare(annotation: Any) -> Any:
    return list(_layers(annotation))[-1]


def _metadata(annotation: Any) -> Iterator[Any]:
    for layer in _layers(annotation):
        if typing.get_origin(layer) is Annotated:
            yield from typing.get_args(layer)[1:]


def _expectation(annotation: Any) -> str:
    for meta in _metadata(annotation):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return str(getattr(_bare(annotation), "__name__", annotation))
