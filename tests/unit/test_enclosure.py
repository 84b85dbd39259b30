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


def solid(mesh: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of these points (n x 3) lie inside the plastic: a line upwards from there leaves the skin an odd number of times."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (mesh[:, i].T for i in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    flat = np.abs(area) > 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        found = []
        for x, y, z in np.add(points, (0.0137, 0.0071, 0)):  # not on an edge between two triangles
            b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
            c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
            above = az + b * (bz - az) + c * (cz - az) > z
            found.append(np.count_nonzero(flat & (b >= 0) & (c >= 0) & (b + c <= 1) & above) % 2)
    return np.array(found, dtype=bool)


def filled(body: np.ndarray, step: float = 3) -> np.ndarray:
    """Points in and on the box round a body, and its corners."""
    low, high = body.min(axis=(0, 1)), body.max(axis=(0, 1))
    axes = [np.linspace(a, b, max(2, int((b - a) / step))) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)


def test_plastic_is_told_from_air():
    box = mesh_of("node_box")
    assert solid(box, np.array([[73.0, 50.0, 1.2], [73.0, 1.2, 20.0], [73.0, 50.0, 30.0], [27.4, 1.0, enclosure.AXIS]])).tolist() == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["node_box", "terminal_box_3", "terminal_box_4", "terminal_box_5"])
def test_board_and_terminals_go_into_the_box_and_lie_on_its_posts(name):
    box = mesh_of(name)
    length, depth, _ = enclosure.extent(box)
    at_y = (
        depth - enclosure.WALL - enclosure.BOARD[1] - 3
        if name == "node_box"
        else (depth - enclosure.BOARD[1]) / 2
    )
    at = (length / 2 - enclosure.BOARD[0] / 2, at_y, enclosure.WALL + 5 + 0.05)
    for body, _ in enclosure.board(*at):
        assert not solid(box, filled(body)).any()
    posts = [(length / 2 + dx + 2.5, at_y + 35 + dy, at[2] - 0.3) for dx in (-42, 42) for dy in (-32, 32)]
    assert solid(box, np.array(posts)).all()


def test_sensors_glands_and_plugs_go_into_the_box_and_nothing_touches():
    box = mesh_of("node_box")
    size = enclosure.extent(box)
    x_left, x_right = (
        (size[0] - 90) / 4 + enclosure.WALL / 2,
        size[0] - (size[0] - 90) / 4 - enclosure.WALL / 2,
    )
    inside = {
        "sensors": [
            enclosure.cylinder((x, enclosure.WALL + 0.1, enclosure.AXIS), 27 if depth < 10 else 18, depth, "y")
            for x in (size[0] / 2 - 50, size[0] / 2 + 50)
            for depth in (5, 60 + 25)
        ],
        "glands": [enclosure.cylinder((x_right, y, enclosure.WALL + 0.1), 20, 12, "z") for y in (34, 62)],
        "plug": [enclosure.cylinder((x_left, 36, -3), 15.5, 20, "z")],
        "board": [body for body, _ in enclosure.board((size[0] - 90) / 2, size[1] - enclosure.WALL - 73, enclosure.WALL + 5.05)],
    }  # fmt: skip
    for name, bodies in inside.items():
        for body in bodies:
            assert not solid(box, body.reshape(-1, 3)).any(), name
    for (one, first), (other, second) in itertools.combinations(inside.items(), 2):
        for a, b in itertools.product(first, second):
            gap = np.maximum(a.min(axis=(0, 1)) - b.max(axis=(0, 1)), b.min(axis=(0, 1)) - a.max(axis=(0, 1)))
            assert gap.max() > 0, (one, other)


@pytest.mark.parametrize(
    ("lid", "box", "thick"), [("node_lid", "node_box", 2.4), *((f"terminal_front_{n}", f"terminal_box_{n}", 3) for n in (3, 4, 5))]
)  # fmt: skip
def test_a_lid_goes_into_its_box(lid, box, thick):
    box = mesh_of(box)
    closed = enclosure.moved(enclosure.turned_over(mesh_of(lid)), enclosure.extent(box)[2] - 3)
    rim = np.unique(closed.reshape(-1, 3).round(3), axis=0)
    rim = rim[rim[:, 2] < closed[..., 2].max() - thick - 0.05]  # what hangs into the box
    assert len(rim) > 8
    assert not solid(box, rim).any()


@pytest.mark.parametrize("language", ["de", "en"])
def test_a_screw_finds_the_keyholes_where_the_page_says(language):
    told = [
        int(number)
        for number in re.findall(
            r"(\d+) mm(?: Abstand| apart)?\)", (HARDWARE / f"enclosure.{language}.md").read_text("utf-8")
        )
    ]
    box = mesh_of("node_box")
    length, depth, _ = enclosure.extent(box)
    for apart in told[:2]:
        left = apart == told[0]
        at = [(1.2, depth / 2 + d, enclosure.AXIS + 4) if left else (length / 2 + d, depth - 1.2, enclosure.AXIS + 4)
              for d in (-apart / 2, apart / 2)]  # fmt: skip
        assert not solid(box, np.array(at)).any()
        shaft = [(x + (0 if left else 3), y + (3 if left else 0), z) for x, y, z in at]
        assert solid(box, np.array(shaft)).all()  # narrow up here: the head does not slip through


def test_something_that_is_too_large_for_the_box_is_seen():
    box = mesh_of("node_box")
    size = enclosure.extent(box)
    wide = enclosure.cuboid((4, 20, enclosure.WALL + 1), (size[0] - 8, 60, 10))
    assert solid(box, filled(wide)).any()


@pytest.mark.parametrize("name", ["bracket", "reflector_angle"])
def test_the_beams_lie_equally_far_from_the_wall_at_the_box_and_opposite(name):
    """The box hangs by its left side, the angle by its foot: where a beam would hit plastic, it is wrong."""
    box, angle = mesh_of("node_box"), mesh_of(name)
    middle_y = enclosure.extent(angle)[1] / 2
    front = 2 if name == "bracket" else 6  # within the plate, or within the cups
    for beam in (27.4, 127.4):
        assert not solid(box, np.array([[beam + dx, 1.2, enclosure.AXIS] for dx in (-8, 0, 8)])).any()
        assert solid(box, np.array([[beam + dx, 1.2, enclosure.AXIS] for dx in (-10.5, 10.5)])).all()
        reach = 8 if name == "bracket" else 19
        assert not solid(angle, np.array([[beam + dx, middle_y, front] for dx in (-reach, 0, reach)])).any()
        assert solid(angle, np.array([[beam + reach + 3, middle_y, front]])).all()


@pytest.mark.parametrize("buttons", [3, 4, 5])
def test_a_terminal_has_a_hole_for_every_button_and_grows_with_them(buttons):
    front, box = mesh_of(f"terminal_front_{buttons}"), mesh_of(f"terminal_box_{buttons}")
    length, depth, _ = enclosure.extent(front)
    assert (length, depth) == pytest.approx(enclosure.extent(box)[:2], abs=0.01)
    assert length == pytest.approx(144 + 38 * (buttons - 3), abs=0.01)
    at = np.array([[x, depth / 2, 1.5] for x in np.arange(0.5, length, 1)])
    air = ~solid(front, at)
    assert np.count_nonzero(air[1:] & ~air[:-1]) == buttons
    assert np.count_nonzero(air) == pytest.approx(24.2 * buttons, abs=buttons)


@pytest.mark.parametrize(("part", "names"), [("print_node", ["node_box", "node_lid", "reflector_angle"])])
def test_the_parts_list_tells_how_much_plastic_a_print_takes(part, names):
    text = (HARDWARE / "parts.toml").read_text("utf-8").partition(f"[part.{part}]")[2]
    grams = int(re.search(r"PETG, about (\d+) g", text)[1])
    assert grams == pytest.approx(sum(enclosure.volume(mesh_of(name)) for name in names) * 1.27e-3, rel=0.1)


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
        ("node_box.scad", {"inner_x": 144}, "nut touches a post of the lid"),
        ("terminal.scad", {"buttons": 2}, "3 to 5 buttons"),
        ("terminal.scad", {"buttons": 6}, "3 to 5 buttons"),
        ("terminal.scad", {"pitch": 30}, "a finger meets two buttons"),
        ("reflector_holder.scad", {"reflector": 84}, "each sensor sees both"),
        ("bracket.scad", {"height": 36}, "touches a rib"),
        ("bracket.scad", {"first_beam": 20}, "touches the foot"),
        ("node_box.scad", {"gland_nut": 29}, "cables do not fit beside the board"),
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
    enclosure.render(source, {**changed, "$fn": 16}, tmp_path / "out.stl")  # coarse: a third of the time
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
