"""The ledger's SQLite file: opening, checking, schema versions, and errors in words. Used by `ledger` only.

One connection for all threads behind one lock: SQLite has one writer at a time anyway, and so no thread ever meets
"database is locked". Another process is kept out by a lock file; readers (`footfall export`) open the file read-only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import sqlite3
import threading
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Reading every page takes about 1 s per 500 MB on a small computer; SQLite itself recovers from a crash, the check is
# for failing disks and SD cards. Larger files are checked where they are read.
MAX_CHECKED_BYTES = 512 * 1024 * 1024
# SQLite 3.40 (Debian 12) mixes up the columns of a table WITHOUT ROWID whose key is not in front, and reports NULLs that
# are not there. From this schema on all keys are in front.
KEYS_IN_FRONT = 2
BUSY_MS = 5000
WAL_LIMIT_BYTES = 64 * 1024 * 1024

_ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space; until then nothing is acknowledged and the nodes keep their records",
    "SQLITE_BUSY": "another program has locked it: close that program",
    "SQLITE_LOCKED": "another program has locked it: close that program",
    "SQLITE_CORRUPT": "it is damaged: stop the gateway, keep a copy of the file, and restore a backup or move it away",
    "SQLITE_NOTADB": "it is not a ledger: restore a backup or move the file away",
    "SQLITE_READONLY": "it cannot be written: check the owner and the rights of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened: check the owner and the rights of the file and its folder",
    "SQLITE_PERM": "it cannot be opened: check the owner and the rights of the file and its folder",
    "SQLITE_IOERR": "reading or writing failed: check the disk",
}
_TEMPORARY = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")


log = logging.getLogger(__name__)


class LedgerError(Exception):
    """The ledger cannot do its work. One line: which file, what is wrong, what to do.

    `temporary` says that the same may succeed later (a full disk); nothing was stored in either case. `in_use`: another
    process writes it.
    """

    def __init__(self, path: Path, what: str, *, temporary: bool = False, in_use: bool = False) -> None:
        super().__init__(f"ledger {path}: {what}")
        self.path = path
        self.what = what
        self.temporary = temporary
        self.in_use = in_use


class Database:
    """An open ledger file; `reading` and `writing` are the only ways in."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Opens, checks and brings to the newest schema. Raises LedgerError."""
        self.path = path
        self._mutex = threading.RLock()
        self._lock_file: int | None = None
        self._open = False
        try:
            if read_only:
                self._expect_file()
            else:
                self._prepare_folder()
            with self._in_words():
                self._connect(read_only=read_only)
        except BaseException:
            self.close()
            raise

    def _expect_file(self) -> None:
        if not self.path.is_file():
            raise LedgerError(self.path, "it does not exist yet: start the gateway once with footfall run")

    def _prepare_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(
                self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o640
            )
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            in_use = error.errno in (errno.EAGAIN, errno.EACCES) and self._lock_file is not None
            if in_use:
                what = (
                    "another gateway is running with it: stop that one, or give this one another data folder"
                )
            else:
                what = f"its folder cannot be written ({error.strerror}): check the owner and the rights of {self.path.parent}"
            raise LedgerError(self.path, what, in_use=in_use) from error

    def _connect(self, *, read_only: bool) -> None:
        uri = self.path.absolute().as_uri() + ("?mode=ro" if read_only else "")
        self._sql = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
        )
        self._open = True
        if not read_only:
            self._sql.execute("PRAGMA journal_mode = WAL")
            self._sql.execute(
                "PRAGMA synchronous = FULL"
            )  # a commit is on the disk before it is acknowledged
            self._sql.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        self._sql.execute("PRAGMA temp_store = MEMORY")
        if self.path.stat().st_size <= MAX_CHECKED_BYTES:
            damage = [line for (line,) in self._sql.execute("PRAGMA quick_check") if line != "ok"]
            if self._version() < KEYS_IN_FRONT:
                damage = [line for line in damage if not line.startswith("NULL value in ")]
            if damage:
                raise LedgerError(self.path, f"{_ADVICE['SQLITE_CORRUPT']} ({damage[0]})")
        self._migrate(read_only=read_only)

    def _migrate(self, *, read_only: bool) -> None:
        """Applies the numbered schema files that this ledger has not seen, each in a transaction of its own."""
        files = sorted(
            (int(file.name[:4]), file)
            for file in resources.files("footfall_gateway").joinpath("schema").iterdir()
            if file.name.endswith(".sql")
        )
        version = self._version()
        newest = files[-1][0]
        if version > newest:
            raise LedgerError(
                self.path,
                f"it was written by a newer Footfall (schema {version}, known here {newest}): update this one",
            )
        if read_only and version < newest:
            raise LedgerError(
                self.path,
                "it was written by an older Footfall: start the gateway once, it brings it up to date",
            )
        for number, file in files:
            if number <= version:
                continue
            script = file.read_text(encoding="utf-8")
            if version:
                log.info("ledger %s: bringing it from schema %d to %d", self.path, version, number)
            version_is = f"INSERT OR REPLACE INTO meta VALUES ('schema_version', '{number}')"  # noqa: S608 - a number of ours
            # whole or not at all: an end in the middle, of whatever kind, leaves the old schema and all that was in it
            self._sql.executescript(f"BEGIN IMMEDIATE;\n{script}\n{version_is};\nCOMMIT;")

    def _version(self) -> int:
        tables = {
            name for (name,) in self._sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "meta" not in tables:
            if tables:
                raise LedgerError(self.path, _ADVICE["SQLITE_NOTADB"])
            return 0
        row = self._sql.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        return int(row[0]) if row else 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for statements that only read; what they see together is one moment."""
        with self._mutex, self._in_words():
            self._begin("BEGIN")
            try:
                yield self._sql
            finally:
                self._sql.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk when this ends, nothing of it after an exception."""
        with self._mutex, self._in_words():
            self._begin("BEGIN IMMEDIATE")
            try:
                yield self._sql
                self._sql.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                    self._sql.execute("ROLLBACK")
                raise

    def _begin(self, statement: str) -> None:
        if not self._open:
            raise LedgerError(self.path, "it is closed")
        self._sql.execute(statement)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            for prefix, advice in _ADVICE.items():
                if name.startswith(prefix):
                    raise LedgerError(self.path, advice, temporary=prefix in _TEMPORARY) from error
            if isinstance(error, sqlite3.OperationalError):
                raise LedgerError(self.path, str(error)) from error
            raise  # a statement of ours is wrong

    def close(self) -> None:
        """Waits for what is being written, then lets go of the file. Twice does no harm."""
        with self._mutex:
            if self._open:
                self._open = False
                self._sql.close()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None
