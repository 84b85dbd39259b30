"""What a virtual board runs: the firmware compiled once, again only when a source changes."""

import tempfile
from pathlib import Path

import pytest

from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import CompileError, VirtualBoard
from footfall_simulator.virtual_board.compiled import compiled_folder

START = 1_800_000_000_000


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compiled onto a shelf of its own: on everybody's, others may be compiling at this moment."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "firmware"
    (folder / "lib" / "core").mkdir(parents=True)
    (folder / "main.py").write_text("import app")
    (folder / "app.py").write_text("from core import words\nprint('app', words.WORD)")
    (folder / "lib" / "core" / "words.py").write_text("WORD = 'first'")
    return folder


def test_modules_are_compiled_to_where_a_board_has_them_and_the_loader_stays_a_source(firmware: Path) -> None:
    made = compiled_folder(firmware)
    names = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert names == ["app.mpy", "core/words.mpy"]


def test_the_same_sources_share_a_folder_and_a_changed_one_gets_another(
    firmware: Path, micropython: parts.Micropython, tmp_path: Path
) -> None:
    made = compiled_folder(firmware)
    assert compiled_folder(firmware) == made
    (firmware / "lib" / "core" / "words.py").write_text("WORD = 'second'")
    assert compiled_folder(firmware) != made
    with VirtualBoard("ff-test", tmp_path / "flash", micropython, firmware, Timeline(START)) as board:
        board.start()
        board.wait_for_console("app second")


def test_a_file_that_does_not_compile_is_named_with_what_is_wrong(firmware: Path) -> None:
    (firmware / "app.py").write_text("def count(:\n")
    with pytest.raises(CompileError, match=r"app\.py: .*SyntaxError"):
        compiled_folder(firmware)
    assert not [
        path for path in compiled_folder(firmware.parent / "none").parent.glob("tmp*") if path.is_dir()
    ]
