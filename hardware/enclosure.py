"""Render the enclosure: `python hardware/enclosure.py` (or `make enclosure`) writes STL files to print, and pictures of them.

The parts are the parametric *.scad files in enclosure/, rendered by the system's OpenSCAD. `flaws` judges a mesh without it;
the STL files lie in the repository beside the fingerprint of the sources that they were made from, so that
tests/unit/test_enclosure.py notices a forgotten rendering on a machine without OpenSCAD too.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent / "enclosure"
STL = HERE / "stl"
PICTURES = HERE / "pictures"
FINGERPRINT = STL / "made-from.txt"
LIMIT_S = 300

# The plain numbers of common.scad: name -> mm
MEASURES = {
    name: float(value)
    for name, value in re.findall(
        r"^(\w+) = ([\d.]+);", (HERE / "common.scad").read_text("utf-8"), re.MULTILINE
    )
}

NO_OPENSCAD = """OpenSCAD is not on this system. It renders the enclosure:
  Debian, Ubuntu   sudo apt install openscad
  Fedora           sudo dnf install openscad
  others           https://openscad.org/downloads.html
Without it: hardware/enclosure/stl holds all parts in their usual measures, ready to print."""

# part -> (source, what differs from its defaults)
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "node_box": ("node_box.scad", {"part": "box"}),
    "node_lid": ("node_box.scad", {"part": "lid"}),
    "reflector_holder": ("reflector_holder.scad", {}),
    "reflector_angle": ("reflector_holder.scad", {"foot": 1}),
    "bracket": ("bracket.scad", {}),
    "visor": ("visor.scad", {}),
    "tube_led": ("tube.scad", {"kind": "led"}),
    "tube_receiver": ("tube.scad", {"kind": "receiver"}),
    **{
        f"terminal_{part}_{buttons}": ("terminal.scad", {"part": part, "buttons": buttons})
        for part in ("front", "box")
        for buttons in (3, 4, 5)
    },
}

Mesh = np.ndarray  # triangles x 3 corners x (x, y, z), in mm


class EnclosureError(Exception):
    """A part cannot be rendered; the text says why and what to do."""


def fingerprint() -> str:
    """What the STL files depend on, as one number."""
    digest = hashlib.sha256(repr(sorted(PARTS.items())).encode())
    for path in sorted(HERE.glob("*.scad")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def render(source: str, changed: dict[str, Any], target: Path) -> None:
    """Render one part. Raises EnclosureError, with the words of the assert that a measure breaks."""
    program = shutil.which("openscad")
    if program is None:
        raise EnclosureError(NO_OPENSCAD)
    defines = [
        word
        for name, value in changed.items()
        for word in ("-D", f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}")
    ]
    command = [program, "--export-format", "binstl", *defines, "-o", str(target), str(HERE / source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING"))]
    if done.returncode != 0 or said:
        raise EnclosureError(f"{source}: " + (" ".join(said) or done.stderr.strip()[-300:]))


def read_stl(path: Path) -> Mesh:
    """The triangles of a binary STL file."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data, 80)
    facets = np.frombuffer(
        data,
        dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")],
        count=count,
        offset=84,
    )
    return facets["corners"].astype(float)


def write_stl(path: Path, mesh: Mesh) -> None:
    """The triangles as a binary STL file, always in the same order: OpenSCAD's own differs from run to run."""
    first = [min(range(3), key=lambda i, t=triangle: t[i]) for triangle in mesh.tolist()]
    turned = [[*triangle[i:], *triangle[:i]] for triangle, i in zip(mesh.tolist(), first, strict=True)]
    facets = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(value for corner in triangle for value in corner), 0)
        for triangle in sorted(turned)
    )
    path.write_bytes(b"footfall".ljust(80) + struct.pack("<I", len(turned)) + facets)


def flaws(mesh: Mesh) -> list[str]:
    """What keeps a mesh from being the skin of a solid body; empty if it can be printed."""
    found = []
    corners = [[tuple(corner) for corner in triangle] for triangle in mesh.tolist()]
    edges = Counter((t[i], t[(i + 1) % 3]) for t in corners for i in range(3))
    if any(count > 1 for count in edges.values()):
        found.append("an edge is used twice in the same direction")
    open_edges = sum((end, start) not in edges for start, end in edges)
    if open_edges:
        found.append(f"{open_edges} edges have a triangle on one side only")
    if any(len(set(triangle)) < 3 for triangle in corners):
        found.append("a triangle has no area")
    if volume(mesh) <= 0:
        found.append("the inside is outside")
    return found


def volume(mesh: Mesh) -> float:
    """Cubic millimetres within a closed mesh."""
    return float(np.einsum("ij,ij->i", mesh[:, 0], np.cross(mesh[:, 1], mesh[:, 2])).sum() / 6)


def extent(mesh: Mesh) -> tuple[float, float, float]:
    """Length, depth and height of what the mesh takes up."""
    x, y, z = mesh.max(axis=(0, 1)) - mesh.min(axis=(0, 1))
    return float(x), float(y), float(z)


# ------------------------------------------------------------------------------------------------------------ pictures

GREY, DARK, GREEN, RED, YELLOW, WHITE = (
    np.array(c) for c in ((0.72, 0.78, 0.85), (0.25, 0.25, 0.28), (0.15, 0.5, 0.3), (0.8, 0.15, 0.15), (0.95, 0.8, 0.2), (0.95, 0.95, 0.95))
)  # fmt: skip
LIGHT = np.array([0.35, -0.55, 0.76])


def cuboid(at: tuple[float, float, float], size: tuple[float, float, float]) -> Mesh:
    """A box with its lowest corner at `at`."""
    c = [
        np.array(at) + np.array(size) * corner
        for corner in [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
    ]
    quads = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    return np.array(
        [[c[a], c[b], c[d]] for q in quads for a, b, d in ((q[0], q[1], q[2]), (q[0], q[2], q[3]))]
    )


def cylinder(
    at: tuple[float, float, float], diameter: float, length: float, axis: str, sides: int = 40
) -> Mesh:
    """A cylinder from `at` along an axis ("y" or "z")."""
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * diameter / 2
    flat = np.zeros((sides, 1))
    low = np.hstack([ring, flat])
    high = np.hstack([ring, flat + length])
    if axis == "y":
        low, high = (np.stack([-end[:, 0], end[:, 2], end[:, 1]], axis=1) for end in (low, high))
    low, high = low + at, high + at
    triangles = []
    for i in range(sides):
        j = (i + 1) % sides
        triangles += [(low[i], low[j], high[j]), (low[i], high[j], high[i])]
        triangles += [(low.mean(0), low[j], low[i]), (high.mean(0), high[i], high[j])]
    return np.array(triangles)


def turned_over(mesh: Mesh) -> Mesh:
    """The same, upside down (turned about the x axis), standing on z = 0."""
    turned = mesh * np.array([1, -1, -1])
    return turned - np.array([0, turned[..., 1].min(), turned[..., 2].min()])


def moved(mesh: Mesh, up: float) -> Mesh:
    """The same, higher up."""
    return mesh + np.array([0, 0, up])


def picture(
    bodies: list[tuple[Mesh, np.ndarray]], *, turn: float = -35, tilt: float = 32, width: int = 900
) -> bytes:
    """A PNG of bodies in their colours, seen from the front right (`turn`) and above (`tilt`, degrees)."""
    a, b = np.radians([turn, tilt])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.sin(b), np.cos(b)], [0, -np.cos(b), np.sin(b)]])
    view = about_x @ about_z
    meshes = [mesh @ view.T for mesh, _ in bodies]
    everything = np.concatenate(meshes)[..., :2]
    low, high = everything.min(axis=(0, 1)), everything.max(axis=(0, 1))
    scale = 2 * width * 0.92 / (high[0] - low[0])  # drawn twice as large, then shrunk: smooth edges
    height = int((high[1] - low[1]) * scale / 2 / 0.92 + 40)
    shift = np.array([width, height]) - (low + high) / 2 * scale
    image = np.ones((2 * height, 2 * width, 3))
    depth = np.full((2 * height, 2 * width), -np.inf)
    for (mesh, colour), seen in zip(bodies, meshes, strict=True):
        normals = np.cross(mesh[:, 1] - mesh[:, 0], mesh[:, 2] - mesh[:, 0])
        lengths = np.linalg.norm(normals, axis=1)
        shades = 0.45 + 0.55 * np.clip((normals / np.where(lengths > 0, lengths, 1)[:, None]) @ LIGHT, 0, 1)
        for corners, shade in zip(seen, shades, strict=True):
            _fill(image, depth, corners * (scale, scale, 1) + (*shift, 0), colour * shade)
    small = image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))[::-1]
    return png((np.clip(small, 0, 1) * 255).astype(np.uint8))


def _fill(image: np.ndarray, depth: np.ndarray, corners: np.ndarray, colour: np.ndarray) -> None:
    """Paint one triangle where nothing stands before it."""
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = corners
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area <= 0:  # seen from behind
        return
    rows = slice(max(int(min(y0, y1, y2)), 0), min(int(max(y0, y1, y2)) + 2, image.shape[0]))
    columns = slice(max(int(min(x0, x1, x2)), 0), min(int(max(x0, x1, x2)) + 2, image.shape[1]))
    y, x = np.mgrid[rows, columns] + 0.5
    w1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
    w2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
    z = z0 + w1 * (z1 - z0) + w2 * (z2 - z0)
    nearer = (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1) & (z > depth[rows, columns])
    depth[rows, columns][nearer] = z[nearer]
    image[rows, columns][nearer] = colour


def png(pixels: np.ndarray) -> bytes:
    """Height x width x 3 bytes as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)]).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


# What the parts are put together with, for the pictures
WALL, STACK, WASHER, SPACING = (MEASURES[name] for name in ("wall", "board_stack", "m18_washer", "spacing"))
BOARD = (MEASURES["board_x"], MEASURES["board_y"])
AXIS = WALL + STACK + WASHER / 2 + 1  # as in node_box.scad


def board(x: float, y: float, z: float) -> list[tuple[Mesh, np.ndarray]]:
    """The perforated board with an ESP32 on its sockets and a row of terminals."""
    return [
        (cuboid((x, y, z), (*BOARD, 1.6)), YELLOW * 0.9),
        (cuboid((x + 18, y + 14, z + 10), (54, 28, 1.6)), DARK),
        (cuboid((x + 52, y + 18, z + 11.6), (18, 20, 3)), GREY),
        *[(cuboid((x + 18, y + 15 + dy, z + 1.6), (50, 2.5, 8.4)), DARK) for dy in (0, 23)],
        *[(cuboid((x + 6 + 10 * i, y + 58, z + 1.6), (9, 8, 9)), GREEN) for i in range(8)],
    ]


def sensors(size: tuple[float, float, float]) -> list[tuple[Mesh, np.ndarray]]:
    """Two M18 sensors with their nuts in the front of the node's box."""
    found = []
    for side in (-1, 1):
        x = size[0] / 2 + side * SPACING / 2
        found += [
            (cylinder((x, -14, AXIS), 18, 74, "y"), DARK),
            (cylinder((x, -15, AXIS), 15, 1, "y"), RED),
            (cylinder((x, -5, AXIS), 27, 4, "y", 6), YELLOW),
            (cylinder((x, WALL + 1, AXIS), 27, 4, "y", 6), YELLOW),
        ]
    return found


def pictures() -> dict[str, bytes]:
    """Every picture: name -> PNG. The parts must have been rendered."""
    mesh = {name: read_stl(STL / f"{name}.stl") for name in PARTS}
    size = extent(mesh["node_box"])
    box, lid = (mesh["node_box"], GREY), mesh["node_lid"]
    board_at = (size[0] / 2 - BOARD[0] / 2, size[1] - WALL - BOARD[1] - 3, WALL + 5)
    closed = moved(turned_over(lid), size[2] - 3)
    shown = {
        "node_box": [box],
        "node_board": [box, *board(*board_at)],
        "node_sensors": [box, *board(*board_at), *sensors(size)],
        "node_lid": [box, *board(*board_at), *sensors(size), (moved(closed, 45), GREY)],
        "node_closed": [box, *sensors(size), (closed, GREY)],
        "reflector_holder": [(mesh["reflector_holder"], GREY)],
        "reflector_angle": [(mesh["reflector_angle"], GREY)],
        "bracket": [(mesh["bracket"], GREY)],
        "visor": [(mesh["visor"], GREY)],
        "tubes": [(mesh["tube_led"], GREY), (mesh["tube_receiver"] + np.array([45, 0, 0]), GREY)],
    }
    for n in (3, 5):
        base = mesh[f"terminal_box_{n}"]
        length, depth, height = extent(base)
        front = moved(turned_over(mesh[f"terminal_front_{n}"]), height - 3)
        colours = (
            (RED, YELLOW, GREEN)
            if n == 3
            else (RED, RED * 0.6 + YELLOW * 0.4, YELLOW, YELLOW * 0.5 + GREEN * 0.5, GREEN)
        )
        lit = [
            (cylinder((length / 2 + (i - (n - 1) / 2) * 38, depth / 2, height + 3), 28, 5, "z"), colour)
            for i, colour in enumerate(colours)
        ]
        shown[f"terminal_{n}"] = [(base, GREY), (front, GREY), *lit]
        if n == 3:
            where = (length / 2 - BOARD[0] / 2, depth / 2 - BOARD[1] / 2, WALL + 5)
            shown["terminal_inside"] = [(base, GREY), *board(*where)]
    from_above = ("node_box", "node_board", "node_sensors", "terminal_inside")
    return {name: picture(bodies, tilt=55 if name in from_above else 32) for name, bodies in shown.items()}


def render_all() -> None:
    """All parts, judged, into STL. Raises EnclosureError."""
    for name, (source, changed) in PARTS.items():
        target = STL / f"{name}.stl"
        render(source, changed, target)
        mesh = read_stl(target)
        write_stl(target, mesh)
        if wrong := flaws(mesh):
            raise EnclosureError(f"{name}: {'; '.join(wrong)}")
        x, y, z = extent(mesh)
        print(f"{name:18} {x:5.0f} x {y:3.0f} x {z:3.0f} mm  {volume(mesh) / 1000:5.0f} cm3")


def main() -> int:
    STL.mkdir(exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    try:
        render_all()
    except EnclosureError as error:
        print(error, file=sys.stderr)
        return 1
    for name, content in pictures().items():
        (PICTURES / f"{name}.png").write_bytes(content)
    FINGERPRINT.write_text(fingerprint() + "\n", "utf-8")
    print(f"wrote {len(PARTS)} parts into {STL.name}/ and their pictures into {PICTURES.name}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
