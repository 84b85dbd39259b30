"""What setup.py makes of the project: with a compiler, without one, without Cython, and from a source archive.

Each build is of a copy of the project, with the tools that are installed here: nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = (
    "firmware",
    "gateway",
    "simulator",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
FIRMWARE_FILES = [
    path
    for path in [*(ROOT / "firmware").rglob("*.py"), ROOT / "firmware/package.json"]
    if path.name != "manifest.py"
]
LIMIT_S = 400
pytestmark = pytest.mark.timeout(2 * LIMIT_S + 100)


@pytest.fixture
def project(tmp_path):
    """A copy of the project as it would be in a fresh clone."""
    copy = tmp_path / "project"
    copy.mkdir()
    leave_out = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=leave_out)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def build(project, what, **environment):
    """The archive that was built, and what the build said."""
    done = subprocess.run(
        [sys.executable, "-c", f"from setuptools import build_meta; print(build_meta.build_{what}('dist'))"],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return project / "dist" / done.stdout.splitlines()[-1], done.stdout + done.stderr


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def firmware_in(wheel):
    """What `footfall flash` will find there: the path below its firmware folder, and the bytes."""
    inside = "footfall_gateway/commissioning/firmware/"
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(inside)]
        return {name.removeprefix(inside): archive.read(name) for name in names}


def extensions(names):
    return sorted(Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd")))


def test_a_wheel_made_from_the_source_archive_has_the_compiled_engine(project, tmp_path):
    archive, _ = build(project, "sdist")
    with tarfile.open(archive) as sources:
        if hasattr(tarfile, "data_filter"):  # Debian 12's Python has no filters yet, later ones want one
            sources.extraction_filter = staticmethod(tarfile.data_filter)
        sources.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel, _ = build(unpacked, "wheel")
    names = names_in(wheel)
    assert extensions(names) == ["_beam", "_columns"]
    assert not [name for name in names if name.endswith((".c", ".pyx", ".pxd"))]
    assert firmware_in(wheel) == {
        path.relative_to(ROOT / "firmware").as_posix(): path.read_bytes() for path in FIRMWARE_FILES
    }
    assert "footfall_gateway/commissioning/node.example.toml" in names
    for module in ("footfall_core/beam.py", "footfall_gateway/counting.py", "footfall_gateway/_beam.pyi"):
        assert module in names

    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    found = (
        "from footfall_gateway.engine import engine; import footfall_gateway._beam as it; "
        "from footfall_gateway.commissioning.device_files import firmware_folder; "
        "print(engine().name, it.__file__, hasattr(it.Barrier(), '_place'), firmware_folder())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", found],
        env={"PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    name, file, untyped, firmware = done.stdout.split()
    assert (name, untyped) == ("compiled", "False")
    assert Path(file).is_relative_to(installed)
    assert Path(firmware).is_relative_to(installed)


@pytest.mark.parametrize("missing", ["no compiler", "no Python.h"])
def test_without_what_compiling_needs_the_installation_succeeds_in_pure_python(project, tmp_path, missing):
    compiler = tmp_path / "cc"
    if missing == "no Python.h":
        compiler.write_text(
            "#!/bin/sh\necho 'beam.c:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n"
        )
        compiler.chmod(0o755)
    wheel, said = build(project, "wheel", CC=str(compiler), CXX=str(compiler))
    names = names_in(wheel)
    assert extensions(names) == []
    assert "footfall_core/beam.py" in names
    assert "footfall: the compiled counting engine was not built" in said


def test_without_cython_the_installation_succeeds_in_pure_python(project, tmp_path):
    hidden = tmp_path / "hidden" / "Cython"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by a test')")
    wheel, said = build(project, "wheel", PYTHONPATH=str(hidden.parent))
    assert extensions(names_in(wheel)) == []
    assert "Cython is not installed" in said


def test_a_core_that_cython_cannot_translate_still_installs_in_pure_python(project):
    types = project / "gateway" / "footfall_gateway" / "_beam.pxd"
    types.write_text(types.read_text().replace("cdef int _now,", "cdef int _not_now,"))
    wheel, said = build(project, "wheel")
    assert extensions(names_in(wheel)) == []
    assert "Cython could not translate" in said
