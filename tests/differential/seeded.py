"""Seeded input for the differential tests: what people do at doors, and what no door would ever do.

Everything is drawn from `random.Random(seed)` here, once, and written to a file that all engines read.
"""

import json
import random

TICK_WRAP = 2**30
MAX_ELAPSED_MS = 2**29 - 1

# Crossings as (state, ms), before the durations are stretched; each ends clear
PEOPLE = [
    [(1, 90), (3, 160), (2, 90), (0, 9000)],
    [(2, 90), (3, 160), (1, 90), (0, 9000)],
    [(1, 90), (3, 160), (2, 90), (0, 60)],
    [(1, 120), (0, 4000)],
    [(2, 120), (0, 4000)],
    [(1, 90), (3, 500), (1, 90), (0, 4000)],
    [(2, 90), (3, 500), (2, 90), (0, 4000)],
    [(1, 90), (3, 300), (2, 90), (3, 600), (1, 90), (0, 4000)],
    [(1, 90), (3, 160), (2, 60), (3, 60), (1, 40), (3, 150), (2, 90), (0, 9000)],
    [(2, 90), (3, 160), (1, 60), (3, 60), (2, 40), (3, 150), (1, 90), (0, 9000)],
    [(1, 3), (0, 2), (1, 80), (3, 3), (1, 2), (3, 160), (2, 90), (0, 3), (2, 2), (0, 9000)],
    [(3, 200), (2, 80), (0, 4000)],
    [(3, 200), (0, 4000)],
    [(1, 30), (2, 30), (0, 500)],
    [(1, 60), (3, 40), (2, 30), (0, 100), (1, 90), (3, 160), (2, 90), (0, 9000)],
    [(1, 100), (3, 70000), (2, 90), (0, 9000)],
    [(2, 70000), (0, 9000)],
]
TIMINGS = [
    lambda rng: rng.randint(0, 0),
    lambda rng: rng.randint(0, 9),
    lambda rng: rng.choice((7, 8, 9, 39, 40, 41)),
    lambda rng: rng.randint(10, 400),
    lambda rng: rng.randint(140, 170),
    lambda rng: rng.choice((59_992, 59_999, 60_000, 60_001, 60_008)),
    lambda rng: rng.randint(400, 100_000),
    lambda rng: rng.randint(0, MAX_ELAPSED_MS),
]
USUAL, LONG = (10, 20, 10, 30, 10, 2, 8, 0), (5, 10, 5, 10, 5, 5, 10, 5)


def people(rng, edges):
    """(elapsed_ms, state) as people make them, at paces from a run to a stroll, with ticks in between."""
    held_ms = rng.randint(0, 5000)
    for _ in range(edges // 4):
        pace = rng.choice((0.4, 0.7, 1.0, 1.0, 1.5, 3.0))
        for state, ms in rng.choice(PEOPLE):
            yield held_ms, state
            held_ms = int(ms * pace * rng.uniform(0.7, 1.3))
            if rng.random() < 0.05:
                tick_ms = rng.randint(0, held_ms)
                yield tick_ms, state
                held_ms -= tick_ms
    yield held_ms, 0


def noise(rng, edges, weights):
    """(elapsed_ms, state) without sense: repeated states, zero and huge times, whatever bits come."""
    for _ in range(edges):
        yield rng.choices(TIMINGS, weights)[0](rng), rng.randint(0, 3)


def some_settings(rng):
    """beams, glitch_ms, min_block_ms, blocked_after_ms; the usual ones half of the time."""
    if rng.random() < 0.5:
        return 2, 8, 40, 60_000
    return (
        rng.choice((1, 2, 2)),
        rng.choice((0, 1, 8, 30, 1000)),
        rng.choice((0, 40, 200, 10_000)),
        rng.choice((1000, 5000, 60_000, 86_400_000)),
    )


def write_barrier_traces(path, seed, edges, per_trace=5000):
    """Input for core_run.barrier; returns how many edges it has. Tick counters start anywhere, half of them at the wrap."""
    rng = random.Random(seed)
    written = 0
    with path.open("w") as file:
        while written < edges:
            tick = rng.choice((rng.randrange(TICK_WRAP), TICK_WRAP - rng.randint(1, 100_000)))
            numbers = *some_settings(rng), rng.randint(0, 3), tick
            file.write("b " + " ".join(map(str, numbers)) + "\n")
            kind = rng.randrange(3)
            for elapsed_ms, state in (
                people(rng, per_trace) if kind == 0 else noise(rng, per_trace, (USUAL, LONG)[kind - 1])
            ):
                file.write(f"{elapsed_ms} {state}\n")
                written += 1
    return written


def recorded(rng, edges):
    """Rows (sensor, t_ms, state) of a few sensors, in order."""
    sensor = rng.randint(-5, 5)
    rows = []
    while len(rows) < edges:
        t_ms = rng.choice((0, 1_767_225_600_000, rng.randrange(2**41)))
        steps = (
            people(rng, edges // 3)
            if rng.random() < 0.6
            else noise(rng, edges // 3, (USUAL, LONG)[rng.randrange(2)])
        )
        for elapsed_ms, state in steps:
            t_ms += elapsed_ms if rng.random() < 0.9999 else rng.randrange(10**10)
            rows.append((sensor, t_ms, state))
        sensor += rng.choice((1, 1, 7, 100_000))
    return rows


def write_recordings(path, seed, edges, per_recording=3000):
    """Input for core_run.recording; one in ten has a row that must be refused. Returns the recordings."""
    rng = random.Random(seed)
    made = []
    with path.open("w") as file:
        while sum(len(rows) for _, rows in made) < edges:
            settings = *some_settings(rng), rng.choice((60_000, 900_000, 3_600_000))
            rows = recorded(rng, per_recording)
            if rng.random() < 0.1:
                at = rng.randrange(1, len(rows))
                sensor, t_ms, state = rows[at]
                rows[at] = rng.choice(((sensor, t_ms, 4), (sensor, -1, state), (sensor - 1, t_ms, state)))
            made.append((settings, rows))
            file.write("r " + " ".join(map(str, settings)) + "\n")
            file.writelines(f"{sensor} {t_ms} {state}\n" for sensor, t_ms, state in rows)
    return made


def write_panels(path, seed, edges, per_panel=2000):
    """Input for core_run.panel: bouncing contacts, votes, mashing, several buttons at a time."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(edges // per_panel):
            buttons = rng.randint(1, 8)
            numbers = (
                buttons,
                rng.choice((1, 30, 30, 200)),
                rng.choice((0, 3000, 3000)),
                rng.randrange(2**buttons),
            )
            file.write("p " + " ".join(map(str, numbers)) + "\n")
            down = numbers[3]
            for _ in range(per_panel):
                elapsed_ms = rng.choice(
                    (0, rng.randint(0, 5), rng.randint(0, 40), rng.randint(0, 300), rng.randint(0, 7000))
                )
                down = rng.choice((down ^ 1 << rng.randrange(buttons), down, 0, rng.randrange(2**buttons)))
                file.write(f"{elapsed_ms} {down}\n")


def _text(rng):
    return "".join(rng.choice('aZ09-_ äß€\u200b"\\/') for _ in range(rng.randint(0, 45)))


def _number(rng):
    return rng.choice(
        (
            0, 1, -1, 3, 4, 127, 128, 2**14, 2**31 - 1, 2**31, 2**42 - 1, 2**42, -(2**40),
            rng.randrange(2**20), rng.randrange(2**42), True, None, "7", [1],
        )
    )  # fmt: skip


def _record(rng):
    """Mostly good records, some with one thing wrong."""
    t_ms = rng.randrange(2 ** rng.randint(1, 42))
    record = rng.choice(
        (
            [t_ms, "P", rng.randint(0, 3), rng.randint(-1, 1), rng.randrange(2**31)],
            [t_ms, "B", rng.randint(0, 7), rng.randrange(100)],
            [t_ms, "Q", rng.randint(0, 7), rng.randint(1, 300)],
            [t_ms, "F", rng.randint(0, 3), rng.randint(0, 1), rng.randint(0, 1)],
            [t_ms, "A", rng.randint(0, t_ms), rng.randrange(2**31), rng.randrange(2**31)],
            [t_ms, "C", rng.randrange(2**42), rng.choice(("gw", "ntp"))],
            [0, "R", _text(rng), _text(rng)[:40], rng.randrange(2**31)],
            [t_ms, "L", rng.randint(1, 2**31 - 1)],
            [t_ms, "E", rng.randint(0, 3), rng.randint(0, 3)],
            [t_ms, "H", rng.randint(0, 3), rng.randrange(2**31), rng.randint(0, 9)],
        )
    )
    if rng.random() < 0.4:
        at = rng.randrange(len(record) + 1)
        if rng.random() < 0.3:
            record = record[:at]
        else:
            record[at : at + 1] = [_number(rng)]
    return record


def _wire_text(rng):
    good = json.dumps({"v": 1, "spool": "8f3a01c2", "seq": rng.randrange(2**46)})
    return rng.choice(
        (
            good,
            good.replace("1", str(_number(rng)), 1),
            good[: rng.randrange(len(good))],
            json.dumps({"v": 1, "spool": _text(rng)[:8], "seq": _number(rng)}),
            "footfall/1/ff-3c71bf4a/" + rng.choice(("records", "ack", "state", "config", "no", "")),
            "footfall/" + rng.choice(("1", "2")) + "/" + _text(rng)[:33] + "/ack",
            _text(rng),
            "[]",
            "7",
        )
    )


def write_codec_values(path, seed, values):
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(values):
            value = _record(rng) if rng.random() < 0.7 else _wire_text(rng)
            file.write(json.dumps(value) + "\n")
