"""One source, three engines: MicroPython, CPython and the compiled extension say the same about the same input."""

import subprocess
import sys
from pathlib import Path

import pytest

from footfall_core import beam
from footfall_gateway import counting
from footfall_gateway.engine import compiled_engine, pure_engine
from footfall_gateway.trace_columns import TraceError
from tests.differential import core_run, seeded

HERE = Path(__file__).parent
CORE = Path(beam.__file__).parent.parent
BOARD_LIKE_HEAP_KB = 192  # of 64-bit objects: what a board with 100 KB has
RECORDING_HEAP_KB = 4000  # holds a whole recording as Python lists, which no board does
A_MILLION = 1_000_000
PROCESS_LIMIT_S = 240

REBUILD = "the compiled engine is missing or stale: build it with `python setup.py build_ext --inplace`"


@pytest.fixture
def compiled():
    """The compiled engine. Where it cannot be built, this test has nothing to compare and fails with the reason."""
    try:
        return compiled_engine()
    except ImportError as error:
        pytest.fail(f"{REBUILD} ({error})", pytrace=False)


def said_here(task, path, *arguments):
    said = []
    task(path, said.append, *arguments)
    return "".join(said)


def said_on_micropython(micropython, task, path, heap_kb=BOARD_LIKE_HEAP_KB):
    argv, env = micropython.command(
        [str(HERE / "core_run.py"), task.__name__, str(path)], heap_kb=heap_kb, path=[CORE]
    )
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=PROCESS_LIMIT_S, check=False)
    if done.returncode or done.stderr:
        pytest.fail(
            f"MicroPython ended with {done.returncode}: {done.stderr}{done.stdout[-500:]}", pytrace=False
        )
    return done.stdout


def assert_same(one, other, whose):
    """Equal texts; where they are not, only the first line that differs, as there are many."""
    if one == other:
        return
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    number, (mine, theirs) = next(
        ((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1]),
        (-1, ("(all lines)", "(more or fewer)")),
    )
    pytest.fail(f"CPython and {whose} differ in line {number}: {mine!r} and {theirs!r}", pytrace=False)


def test_three_engines_judge_a_million_edges_alike(micropython, compiled, tmp_path):
    path = tmp_path / "barrier.txt"
    assert seeded.write_barrier_traces(path, seed=20261, edges=A_MILLION) >= A_MILLION
    said = said_here(core_run.barrier, path)
    events = [int(line.split()[1]) for line in said.splitlines() if line[0] != "b"]
    for event in (1, 2, 4, 8, 16, 32, 64):  # a comparison of nothing with nothing proves nothing
        assert sum(bool(seen & event) for seen in events) > 500
    assert_same(said, said_here(core_run.barrier, path, compiled.barrier), f"the compiled engine ({REBUILD})")
    assert_same(said, said_on_micropython(micropython, core_run.barrier, path), "MicroPython")


def test_three_engines_recount_recordings_alike(micropython, compiled, tmp_path):
    path = tmp_path / "recordings.txt"
    recordings = seeded.write_recordings(path, seed=20262, edges=120_000)
    said = said_here(core_run.recording, path)
    assert said.count("refused") >= 2
    assert_same(
        said, said_on_micropython(micropython, core_run.recording, path, RECORDING_HEAP_KB), "MicroPython"
    )
    for settings, rows in recordings:
        columns = [list(column) for column in zip(*rows, strict=True)]
        results = [
            outcome(columns, settings, using=compiled, threads=1),
            outcome(columns, settings, using=compiled, threads=3),
            outcome(columns, settings, using=pure_engine(), threads=1),
        ]
        assert results[0] == results[2], REBUILD
        assert results[1] == results[2]


def outcome(columns, settings, **how):
    """Everything the gateway's way of counting says, or how it refuses."""
    barrier, width_ms = counting.BarrierSettings(*settings[:4]), settings[4]
    try:
        passages = counting.count_passages(*columns, settings=barrier, **how)
    except TraceError as error:
        return str(error)
    buckets = counting.count_buckets(*columns, settings=barrier, width_ms=width_ms, **how)
    return passages, list(buckets)


def test_the_gateway_counts_what_the_core_says_of_a_recording(compiled, tmp_path):
    path = tmp_path / "recordings.txt"
    settings, rows = seeded.write_recordings(path, seed=20263, edges=3000)[0]
    said = [line.split() for line in said_here(core_run.recording, path).splitlines()[1:]]
    columns = [list(column) for column in zip(*rows, strict=True)]
    passages, _ = outcome(columns, settings, using=compiled, threads=1)
    assert [list(map(int, words)) for words in said if words[0] != "="] == [
        list(row) for row in zip(passages.sensor, passages.t_ms, passages.event, strict=True)
    ]


def test_button_panels_vote_alike_on_micropython(micropython, tmp_path):
    path = tmp_path / "panels.txt"
    seeded.write_panels(path, seed=20264, edges=100_000)
    said = said_here(core_run.panel, path)
    assert sum(line[:2] not in ("0 ", "p ") for line in said.splitlines()) > 1000
    assert_same(said, said_on_micropython(micropython, core_run.panel, path), "MicroPython")


def test_wire_and_flash_are_written_and_read_alike_on_micropython(micropython, tmp_path):
    path = tmp_path / "values.txt"
    seeded.write_codec_values(path, seed=20265, values=8000)
    said = said_here(core_run.codecs, path)
    assert said.count("refused") > 1000
    assert said.count("True") > 1000  # torn segments
    assert_same(said, said_on_micropython(micropython, core_run.codecs, path), "MicroPython")


def test_the_types_of_the_compiled_engine_took_effect(compiled):
    """Cython leaves out a .pxd that it does not find without a word; then private fields could be seen, and changed."""
    barrier = compiled.barrier(2, 8, 40, 60_000)
    assert not hasattr(barrier, "_place")
    assert not hasattr(barrier, "__dict__")
    assert hasattr(pure_engine().barrier(2, 8, 40, 60_000), "_place")
    with pytest.raises(AttributeError):
        barrier.settled = 1


def test_the_compiled_engine_is_another_module_than_its_source(compiled):
    """Otherwise an old extension would hide the source, and edits would have no effect."""
    assert type(compiled.barrier(2, 8, 40, 60_000)).__module__ == "footfall_gateway._beam"
    assert Path(beam.__file__).suffix == ".py"
    assert sys.modules["footfall_core.beam"] is beam
