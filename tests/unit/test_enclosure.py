"""The enclosure: every part is one solid body, fits what it is for, and the files to print are those of today's sources.

OpenSCAD is not fetched for the tests (it brings a whole desktop along). Without it the rendered files in the repository
are judged, and their fingerprint says whether they are those of the sources; with it the sources are rendered as well.
"""

import importlib
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.large_programs import needs_large_program

HARDWARE = Path(__file__).parents[2] / "hardware"
sys.path.insert(0, str(HARDWARE))
enclosure = importlib.import_module("enclosure")
sys.path.remove(str(HARDWARE))

with_openscad = needs_large_program(
    shutil.which("openscad"),
    "no OpenSCAD here: the STL files in the repository were judged instead, by fingerprint and mesh",
)


def mesh_of(name: str) -> np.ndarray:
    return enclosure.read_stl(enclosure.STL / f"{name}.stl")


def test_the_files_to_print_were_made_from_these_sources():
    assert enclosure.FINGERPRINT.read_text("utf-8").strip() == enclosure.fingerprint(), "make enclosure"


def test_another_source_has_another_fingerprint(tmp_path, monkeypatch):
    before = enclosure.fingerprint()
    shutil.copytree(enclosure.HERE, tmp_path / "enclosure")
    monkeypatch.setattr(enclosure, "HERE", tmp_path / "enclosure")
    assert enclosure.fingerprint() == before
    with (tmp_path / "enclosure" / "visor.scad").open("a") as file:
        file.write("// longer\n")
    assert enclosure.fingerprint() != before


def test_no_file_to_print_is_missing_or_left_over():
    assert {path.stem for path in enclosure.STL.glob("*.stl")} == set(enclosure.PARTS)


@pytest.mark.parametrize("name", enclosure.PARTS)
def test_a_part_is_one_solid_body_that_fits_a_common_printer(name):
    mesh = mesh_of(name)
    assert enclosure.flaws(mesh) == []
    length, depth, height = enclosure.extent(mesh)
    assert max(length, depth) <= 250
    assert height <= 200
    assert 1000 < enclosure.volume(mesh) < 400_000


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda mesh: mesh[1:], "on one side only"),
        (lambda mesh: np.concatenate([mesh, mesh[:1]]), "twice"),
        (lambda mesh: mesh[:, ::-1], "the inside is outside"),
        (lambda mesh: np.concatenate([mesh, mesh[:1, [0, 1, 1]]]), "no area"),
    ],
)
def test_a_spoilt_mesh_is_seen(spoil, said):
    assert any(said in flaw for flaw in enclosure.flaws(spoil(mesh_of("visor"))))


def test_a_mesh_is_written_as_it_was_read_whatever_its_order(tmp_path):
    mesh = mesh_of("visor")
    enclosure.write_stl(tmp_path / "again.stl", np.roll(mesh[::-1], 1, axis=1))
    assert (tmp_path / "again.stl").read_bytes() == (enclosure.STL / "visor.stl").read_bytes()


def hole_widths(mesh: np.ndarray, y: float) -> list[tuple[float, float]]:
    """(middle, width) along x of the round holes in the wall that stands at this y, big ones only, from the left."""
    corners = np.unique(mesh[np.abs(mesh[..., 1] - y) < 1e-3].round(3), axis=0)
    axis = enclosure.AXIS
    near = corners[np.abs(corners[:, 2] - axis) < 0.02]
    xs = sorted(near[:, 0])
    pairs = [(a, b) for a, b in itertools.pairwise(xs) if 15 < b - a < 22]
    return [((a + b) / 2, b - a) for a, b in pairs]


def test_the_sensors_look_out_of_the_box_at_the_spacing_of_the_mounting_guide():
    holes = hole_widths(mesh_of("node_box"), 0.0)
    assert len(holes) == 2
    assert holes[1][0] - holes[0][0] == pytest.approx(100, abs=0.05)
    assert all(width == pytest.approx(18.5, abs=0.05) for _, width in holes)


def test_a_terminal_grows_with_its_buttons():
    three, five = (enclosure.extent(mesh_of(f"terminal_front_{n}")) for n in (3, 5))
    assert three[0] < five[0] <= 250
    assert three[1:] == pytest.approx(five[1:])
    for n in (3, 5):
        front, box = (enclosure.extent(mesh_of(f"terminal_{part}_{n}")) for part in ("front", "box"))
        assert front[:2] == pytest.approx(box[:2], abs=0.01)


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_sizes_on_the_enclosures_page_are_those_of_the_files(language):
    text = (HARDWARE / f"enclosure.{language}.md").read_text("utf-8")
    for line in re.findall(r"^\|.*\.stl\).*$", text, re.MULTILINE):
        names = re.findall(r"stl/(\w+)\.stl", line)
        told = [int(number) for number in re.findall(r"\d+", line.rpartition("|")[0].rpartition("|")[2])]
        sizes = [round(side) for name in names for side in enclosure.extent(mesh_of(name))]
        assert set(told) <= set(sizes), line
    assert set(re.findall(r"stl/(\w+)\.stl", text)) == set(enclosure.PARTS)


def test_the_lid_covers_the_box():
    lid, box = (enclosure.extent(mesh_of(f"node_{part}")) for part in ("lid", "box"))
    assert lid[:2] == pytest.approx(box[:2], abs=0.01)


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_picture_is_shown(language):
    text = (HARDWARE / f"enclosure.{language}.md").read_text("utf-8")
    for path in enclosure.PICTURES.glob("*.png"):
        assert f"pictures/{path.name})" in text
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_openscad_it_says_how_to_get_it_and_what_there_is_without(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(enclosure, "STL", tmp_path / "stl")
    monkeypatch.setattr(enclosure, "PICTURES", tmp_path / "pictures")
    assert enclosure.main() == 1
    said = capsys.readouterr().err
    assert "sudo apt install openscad" in said
    assert "hardware/enclosure/stl" in said


@with_openscad
@pytest.mark.parametrize(
    ("source", "changed", "reason"),
    [
        ("node_box.scad", {"spacing": 60}, "80 to 120 mm"),
        ("node_box.scad", {"spacing": 130}, "80 to 120 mm"),
        ("node_box.scad", {"spacing": 80, "m18_washer": 78}, "nuts of the two sensors touch"),
        ("node_box.scad", {"board_stack": 60, "axis": 50}, "sensors touch the board"),
        ("node_box.scad", {"board_holes_x": 95}, "holes of the board lie outside"),
        ("node_box.scad", {"inner_x": 110}, "nut touches the side wall"),
        ("terminal.scad", {"buttons": 2}, "3 to 5 buttons"),
        ("terminal.scad", {"buttons": 6}, "3 to 5 buttons"),
        ("terminal.scad", {"pitch": 30}, "a finger meets two buttons"),
        ("reflector_holder.scad", {"reflector": 84}, "each sensor sees both"),
        ("bracket.scad", {"height": 36}, "touches the foot"),
        ("tube.scad", {"length": 20}, "it sees the wall"),
    ],
)
def test_a_measure_that_does_not_fit_is_refused_by_its_reason(source, changed, reason, tmp_path):
    with pytest.raises(enclosure.EnclosureError, match=reason):
        enclosure.render(source, changed, tmp_path / "out.stl")


@with_openscad
@pytest.mark.parametrize(
    ("source", "changed", "grows_mm"),
    [
        ("node_box.scad", {"part": "lid", "spacing": 120}, (20, 0, 0)),
        ("reflector_holder.scad", {"spacing": 80}, (-20, 0, 0)),
        ("bracket.scad", {"spacing": 120}, (20, 0, 0)),
        ("visor.scad", {"length": 60}, (0, 0, 15)),
    ],
)
def test_a_part_follows_its_measures(source, changed, grows_mm, tmp_path):
    usual = {key: value for key, value in changed.items() if key == "part"}
    [name] = [name for name, made in enclosure.PARTS.items() if made == (source, usual)]
    enclosure.render(source, changed, tmp_path / "out.stl")
    mesh = enclosure.read_stl(tmp_path / "out.stl")
    assert enclosure.flaws(mesh) == []
    grown = np.subtract(enclosure.extent(mesh), enclosure.extent(mesh_of(name)))
    assert grown == pytest.approx(grows_mm, abs=0.05)


@with_openscad
@pytest.mark.parametrize("name", ["reflector_holder", "tube_receiver"])
def test_rendering_again_gives_the_file_in_the_repository(name, tmp_path):
    source, changed = enclosure.PARTS[name]
    enclosure.render(source, changed, tmp_path / "out.stl")
    again, kept = enclosure.read_stl(tmp_path / "out.stl"), mesh_of(name)
    assert enclosure.volume(again) == pytest.approx(enclosure.volume(kept), rel=1e-6)
    assert enclosure.extent(again) == pytest.approx(enclosure.extent(kept))


@with_openscad
def test_openscad_itself_calls_the_box_simple(tmp_path):
    done = subprocess.run(
        ["openscad", "-o", tmp_path / "out.stl", "-D", "$fn=16", enclosure.HERE / "node_box.scad"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Simple:        yes" in done.stderr
