"""Seeded edges by the hundred million: what the doors of a town would record, drawn with NumPy.

Each sensor sees crossing after crossing. Most are one person in or out; the rest are the shares of SCENES: people who turn
back, follow closely, carry things; chatter at the rim of a coat; a trolley parked in the beams now and then.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

START_MS = 1_767_225_600_000  # 2026-01-01
MEAN_PAUSE_MS = 12_000  # a busy door: some 270 crossings an hour
PACES = (0.5, 1.5)  # every duration is stretched by a factor from this range

# Of 1000 crossings so many are these: (state, ms) each, clear at the end, and then a pause
SCENES = [
    (390, [(1, 90), (3, 160), (2, 90)]),  # in
    (390, [(2, 90), (3, 160), (1, 90)]),  # out
    (40, [(1, 120)]),  # turns back at the first beam
    (20, [(2, 120)]),
    (25, [(1, 90), (3, 700), (1, 120)]),  # turns back in the door
    (15, [(2, 90), (3, 700), (2, 120)]),
    (
        30,
        [(1, 90), (3, 160), (2, 60), (3, 60), (1, 40), (3, 150), (2, 90)],
    ),  # two, one close behind the other
    (20, [(2, 90), (3, 160), (1, 60), (3, 60), (2, 40), (3, 150), (1, 90)]),
    (15, [(1, 60), (3, 30), (2, 30), (0, 90), (1, 80), (3, 160), (2, 90)]),  # an arm, then the body
    (15, [(1, 3), (0, 2), (1, 80), (3, 160), (2, 90), (0, 3), (2, 2)]),  # chatter at both rims
    (15, [(2, 3), (0, 2), (2, 80), (3, 160), (1, 90), (0, 3), (1, 2)]),
    (14, [(3, 200)]),  # both at once
    (10, [(1, 20)]),  # a hand
    (1, [(1, 90), (3, 90_000), (2, 90)]),  # something parked in the beams
]


class Traffic(NamedTuple):
    """Columns as the counting engines take them."""

    sensors: NDArray[np.int32]
    t_ms: NDArray[np.int64]
    states: NDArray[np.uint8]


def traffic(edges: int, sensors: int, seed: int) -> Traffic:
    """So many edges, evenly from so many sensors, sorted by sensor and time."""
    columns = Traffic(np.empty(edges, np.int32), np.empty(edges, np.int64), np.empty(edges, np.uint8))
    rng = np.random.default_rng(seed)
    for sensor in range(sensors):
        start, end = edges * sensor // sensors, edges * (sensor + 1) // sensors
        columns.sensors[start:end] = sensor
        _one_sensor(rng, columns.t_ms[start:end], columns.states[start:end])
    return columns


def _one_sensor(rng: np.random.Generator, t_ms: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
    count = len(t_ms)
    scene_states, scene_ms, lengths, shares = _tables()
    scenes = rng.choice(len(lengths), size=count // 2 + 1, p=shares)  # the shortest has two edges
    ends = np.cumsum(lengths[scenes])
    scenes = scenes[: np.searchsorted(ends, count) + 1]
    scene = np.repeat(scenes, lengths[scenes])[:count]
    begins = np.repeat(ends[: len(scenes)] - lengths[scenes], lengths[scenes])[:count]
    place = np.arange(count) - begins
    states[:] = scene_states[scene, place]
    held_ms = scene_ms[scene, place] * rng.uniform(*PACES, count)
    pauses = np.flatnonzero(place == lengths[scene] - 1)
    held_ms[pauses] = rng.exponential(MEAN_PAUSE_MS, len(pauses))
    whole_ms = held_ms.astype(np.int64)
    np.cumsum(whole_ms, out=t_ms)
    t_ms += START_MS - whole_ms


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """States and durations by scene and place in it, the number of edges of each scene, and its share."""
    lengths = np.array([len(held) + 1 for _, held in SCENES])
    states = np.zeros((len(SCENES), lengths.max()), np.uint8)
    ms = np.zeros(states.shape, np.float32)
    for number, (_, held) in enumerate(SCENES):
        states[number, : len(held)] = [state for state, _ in held]
        ms[number, : len(held)] = [duration for _, duration in held]
    shares = np.array([share for share, _ in SCENES], float)
    return states, ms, lengths, shares / shares.sum()
