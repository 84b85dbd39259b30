"""Standard streams that are closed, full or of another character set, and files that appear whole or not at all."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, NoReturn

import pytest

from footfall_gateway.streams import whole_file

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
LIMIT_S = 60


def footfall(redirections: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """`footfall` as a shell starts it, with these redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, "-m", "footfall_gateway.cli", *arguments],
        check=False, capture_output=True, env=ENVIRONMENT, timeout=LIMIT_S,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("redirections", "code", "words"),
    [
        (">/dev/full", 1, b"standard output: no space left on device\n"),
        (">&-", 0, b""),
        ("<&- >&- 2>&-", 0, b""),
    ],
)
def test_a_standard_output_that_takes_nothing_is_no_error_of_ours(redirections, code, words):
    done = footfall(redirections, "node", "--help")
    assert (done.returncode, done.stderr) == (code, words)


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-"])
def test_the_exit_code_tells_even_where_no_word_can_be_said(tmp_path, redirections):
    done = footfall(redirections, "status", "--config", tmp_path / "missing")
    assert (done.returncode, done.stderr) == (2, b"")


def test_a_file_does_not_get_the_number_of_a_closed_standard_output(tmp_path):
    hours = tmp_path / "hours.csv"
    code = (
        "import os, sys\nfrom footfall_gateway.streams import prepare_standard_streams, whole_file\n"
        "prepare_standard_streams()\nfrom pathlib import Path\n"
        "with whole_file(Path(sys.argv[1])) as file:\n file.write('1')\n file.flush()\n os.write(1, b'for the terminal')\n"
    )
    subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-c", code, hours],
        check=True,
        env=ENVIRONMENT,
        timeout=LIMIT_S,
    )
    assert hours.read_text() == "1"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("latin-1", b"[ok] Tor S\xfcd ... ? [!!]"), ("ascii", b"[ok] Tor Sued ... ? [!!]")],
)
def test_a_terminal_without_our_signs_shows_others(encoding, shown):
    code = (
        "import sys, click\nfrom footfall_gateway.streams import prepare_standard_streams\n"
        "prepare_standard_streams()\nsys.stdout.write('✓ Tor Süd … 門 ✗')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        env=ENVIRONMENT | {"PYTHONIOENCODING": encoding},
        timeout=LIMIT_S,
    )
    assert done.stdout == shown


def _write_half(file: IO[str], error: OSError) -> NoReturn:
    file.write("half of")
    raise error


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    hours = tmp_path / "hours.csv"
    hours.write_text("of yesterday")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left") as caught, whole_file(hours) as file:
        _write_half(file, full)
    assert (caught.value.filename, caught.value.errno) == (str(hours), errno.ENOSPC)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("hours.csv", "of yesterday")]


def test_of_a_link_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    with whole_file(tmp_path / "link.csv") as file:
        file.write("1")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "1"


def test_a_pipe_is_written_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    with whole_file(pipe) as file:
        file.write("1")
    reader.join(LIMIT_S)
    assert (read, pipe.is_fifo()) == (["1"], True)
