"""Columns to passages and buckets: what may be a column, threads, pieces, and rows that are refused."""

import re
import sys
import threading
import time
from array import array

import numpy as np
import pyarrow as pa
import pytest

from footfall_core import beam
from footfall_gateway import counting
from footfall_gateway.counting import (
    HOUR_MS,
    QUARTER_MS,
    BarrierSettings,
    BucketCounter,
    SensorBucket,
    TraceError,
    count_buckets,
    count_passages,
)
from footfall_gateway.engine import (
    COMPILED,
    PURE,
    EngineError,
    choose_engine,
    compiled_engine,
    pure_engine,
)
from footfall_gateway.trace_columns import as_columns

ENGINES = {COMPILED: compiled_engine, PURE: pure_engine}

IN = [(0, 0), (1, 1000), (3, 1090), (2, 1250), (0, 1340)]
OUT = [(0, 0), (2, 1000), (3, 1090), (1, 1250), (0, 1340)]
NINE_O_CLOCK = 1_767_258_000_000  # 2026-01-01T09:00:00Z


@pytest.fixture(params=ENGINES)
def using(request):
    return ENGINES[request.param]()


def columns(*walks):
    """(sensor, begin_ms, walk) each, to columns of lists."""
    rows = [(sensor, begin_ms + t_ms, state) for sensor, begin_ms, walk in walks for state, t_ms in walk]
    return tuple(list(column) for column in zip(*rows, strict=True))


TWO_DOORS = columns(
    (4, NINE_O_CLOCK, IN),
    (4, NINE_O_CLOCK + 30_000, IN),
    (4, NINE_O_CLOCK + HOUR_MS - 1340, OUT),
    (9, NINE_O_CLOCK, OUT),
)
EXPECTED = [
    SensorBucket(4, NINE_O_CLOCK, 2, 0, 0, 0),
    SensorBucket(4, NINE_O_CLOCK + HOUR_MS, 0, 1, 0, 0),
    SensorBucket(9, NINE_O_CLOCK, 0, 1, 0, 0),
]


def test_passages_are_given_with_sensor_time_and_direction(using):
    passages = count_passages(*TWO_DOORS, using=using)
    assert list(passages.sensor) == [4, 4, 4, 9]
    assert list(passages.t_ms) == [
        NINE_O_CLOCK + 1340,
        NINE_O_CLOCK + 31_340,
        NINE_O_CLOCK + HOUR_MS,
        NINE_O_CLOCK + 1340,
    ]
    assert list(passages.event) == [beam.PASSED_IN, beam.PASSED_IN, beam.PASSED_OUT, beam.PASSED_OUT]


def test_a_passage_counts_in_the_hour_in_which_the_second_beam_clears(using):
    assert list(count_buckets(*TWO_DOORS, using=using)) == EXPECTED


def test_passages_can_be_counted_by_any_width(using):
    passages = count_passages(*TWO_DOORS, using=using)
    assert list(passages.buckets(using=using)) == EXPECTED
    assert [bucket.start_ms for bucket in passages.buckets(QUARTER_MS, using)] == [
        NINE_O_CLOCK,
        NINE_O_CLOCK + HOUR_MS,
        NINE_O_CLOCK,
    ]


def test_faults_are_counted_when_they_begin_and_nobody_with_them(using):
    blocked = columns((1, NINE_O_CLOCK - 60_000, [(0, 0), (1, 1000), (0, 7_200_000)]))
    assert list(count_buckets(*blocked, using=using)) == [SensorBucket(1, NINE_O_CLOCK, 0, 0, 0, 1)]


def test_a_single_beam_counts_without_a_direction(using):
    counted = count_buckets(*TWO_DOORS, settings=BarrierSettings(beams=1), using=using)
    assert next(iter(counted)) == SensorBucket(4, NINE_O_CLOCK, 0, 0, 2, 0)


def test_no_rows_give_nothing(using):
    assert list(count_buckets([], [], [], using=using)) == []
    assert len(count_passages(array("i"), array("q"), array("B"), using=using)) == 0


def test_an_hour_in_which_nothing_happened_has_no_bucket(using):
    assert list(count_buckets([1, 1], [0, 5 * HOUR_MS], [0, 0], using=using)) == []


def read_only(column):
    column.flags.writeable = False
    return column


KINDS_OF_COLUMNS = {
    "lists": lambda column, code: list(column),
    "arrays of the engine's types": lambda column, code: array(code, column),
    "arrays of wide numbers": lambda column, code: array("q", column),
    "memoryviews": lambda column, code: memoryview(array(code, column)),
    "NumPy": lambda column, code: np.array(column, np.dtype(code)),
    "NumPy, read only": lambda column, code: read_only(np.array(column, np.dtype(code))),
    "NumPy, wide": lambda column, code: np.array(column, np.int64),
    "NumPy, every second": lambda column, code: np.repeat(np.array(column, np.dtype(code)), 2)[::2],
    "Arrow": lambda column, code: memoryview(pa.array(column, {"i": pa.int32(), "q": pa.int64(), "B": pa.uint8()}[code]).buffers()[1]).cast(code)[: len(column)],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_OF_COLUMNS)
def test_a_column_may_be(kind, using):
    make = KINDS_OF_COLUMNS[kind]
    made = [make(column, code) for column, code in zip(TWO_DOORS, "iqB", strict=True)]
    assert list(count_buckets(*made, using=using)) == EXPECTED


def test_columns_of_the_right_type_are_not_copied():
    made = [np.array(column, np.dtype(code)) for column, code in zip(TWO_DOORS, "iqB", strict=True)]
    used = as_columns(*made)
    made[2][0] = 3
    assert used.states[0] == 3


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (([1], [2, 3], [0]), "1, 2 and 1 rows"),
        (([1], [2], np.array([0.5])), "state has the format 'd', expected one row of whole numbers"),
        (([1], [2], np.array([1], ">i4")), "state has the format '>i', expected one row of whole numbers"),
        ((np.zeros((2, 2), np.int32), [1], [0]), "sensor has the format 'i'"),
        (("ab", [1, 1], [0, 0]), "row 1: sensor is 'a', expected"),
        (([1], [None], [0]), "row 1: t_ms is None, expected"),
        (([2**31], [1], [0]), "row 1: sensor is 2147483648, expected"),
        (([1, 1], [1, 2**63], [0, 0]), "row 2: t_ms is 9223372036854775808, expected"),
        (([1, 1], [1, 2], [0, 256]), "row 2: state is 256, expected 0 to 3"),
        (([1, 1], [1, 2], [0, -1]), "row 2: state is -1, expected 0 to 3"),
        (([1, 1], [1, 2], [0, 4]), "row 2: state is 4, expected 0 to 3"),
        (([1, 1], [2, 1], [0, 0]), "row 2: t_ms 1 of sensor 1 comes after 2, expected rows sorted by sensor, then t_ms"),
        (([2, 1], [2, 3], [0, 0]), "row 2: sensor 1 comes after sensor 2, expected rows sorted by sensor"),
        (([1], [-1], [0]), "row 1: t_ms is -1, expected 0 to 4398046511103"),
        (([1, 1], [0, 2**42], [0, 0]), "row 2: t_ms is 4398046511104, expected 0 to 4398046511103"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused_in_words(made, words, using):
    with pytest.raises(ValueError, match=re.escape(words)):
        count_passages(*made, using=using)


def test_a_refused_row_is_known_by_its_number(using):
    with pytest.raises(TraceError) as refused:
        count_buckets([1, 1, 1], [1, 2, 1], [0, 0, 0], using=using)
    assert refused.value.row == 2


# ----------------------------------------------------------------------------------------------------- pieces and threads


def many_doors(doors=60, walks=40):
    """Enough doors for several threads, each with its own number of people."""
    return columns(
        *(
            (door, NINE_O_CLOCK + 20_000 * number, IN if (door + number) % 3 else OUT)
            for door in range(doors)
            for number in range(walks + door % 7)
        )
    )


@pytest.fixture
def small_parts(mocker):
    """Cuts even short columns for threads."""
    mocker.patch.object(counting, "_MIN_PART_ROWS", 50)


@pytest.mark.parametrize("threads", [2, 3, 7, 64])
def test_any_number_of_threads_counts_the_same(threads, using, small_parts):
    rows = many_doors()
    assert count_passages(*rows, threads=threads, using=using) == count_passages(*rows, using=using)
    assert count_buckets(*rows, threads=threads, using=using) == count_buckets(*rows, using=using)


def test_several_threads_are_really_used(small_parts, mocker):
    used = set()
    run = counting._Strand.run

    def noted(strand, desk, *arguments):
        used.add(threading.current_thread())
        barrier.wait(60)  # goes on only once a second thread has come here
        return run(strand, desk, *arguments)

    barrier = threading.Barrier(2)
    mocker.patch.object(counting._Strand, "run", noted)
    mocker.patch.object(counting, "_PARTS_PER_THREAD", 1)
    count_passages(*many_doors(), threads=2)
    assert len(used) == 2


@pytest.fixture
def gil_is_never_taken_away():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def test_the_compiled_engine_lets_other_threads_run_while_it_counts(gil_is_never_taken_away):
    rows = 3_000_000
    made = np.zeros(rows, np.int32), np.arange(rows, dtype=np.int64), np.zeros(rows, np.uint8)
    at_work, turns = threading.Event(), 0

    def count():
        at_work.set()
        for _ in range(400):  # where the other thread has not come by then, it was not let
            count_passages(*made, using=compiled_engine())
            if turns:
                break
        at_work.clear()

    thread = threading.Thread(target=count)
    thread.start()
    at_work.wait(60)
    while at_work.is_set():  # an engine that keeps the GIL lets nobody come here until it is done
        turns += 1
        time.sleep(0.001)
    thread.join()
    assert turns > 0


def count_in_pieces(rows, piece, **how):
    counter = BucketCounter(**how)
    for start in range(0, len(rows[0]), piece):
        counter.feed(*(column[start : start + piece] for column in rows))
    return counter


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_rows_in_pieces_count_the_same(piece, threads, using, small_parts):
    rows = many_doors(doors=12, walks=9)
    counter = count_in_pieces(rows, piece, threads=threads, using=using)
    assert counter.rows == len(rows[0])
    assert counter.finish() == count_buckets(*rows, using=using)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("piece", [333, 100_000])
@pytest.mark.parametrize(
    ("at", "spoil", "words"),
    [
        (2500, {"state": 9}, "row 2501: state is 9"),
        (2500, {"t_ms": 5}, "row 2501: t_ms 5 of sensor"),
        (2500, {"sensor": 0}, "row 2501: sensor 0 comes after sensor"),
        (0, {"state": 4}, "row 1: state is 4"),
        (999, {"state": 4}, "row 1000: state is 4"),
    ],
)
def test_the_first_bad_row_is_named_whatever_the_threads_and_pieces(
    at, spoil, words, piece, threads, using, small_parts
):
    rows = many_doors(doors=30, walks=20)
    for name, value in {"state": 200, **spoil}.items():
        later = at if name in spoil else 2900  # another bad row behind the first
        rows[("sensor", "t_ms", "state").index(name)][later] = value
    with pytest.raises(TraceError) as refused:
        count_in_pieces(rows, piece, threads=threads, using=using)
    assert str(refused.value).startswith(words)


def test_sensors_in_the_wrong_order_are_found_at_a_cut_between_threads(using, small_parts):
    rows = [list(range(100, 200)) * 2, list(range(200)), [0] * 200]
    with pytest.raises(TraceError) as refused:
        count_buckets(*rows, threads=4, using=using)
    assert refused.value.row == 100


def test_progress_counts_up_to_the_last_row(small_parts):
    rows = many_doors()
    seen = []
    count_passages(*rows, progress=seen.append)
    assert seen[-1] == len(rows[0])
    seen.clear()
    count_passages(*rows, threads=3, progress=seen.append)
    assert max(seen) == len(rows[0])


def test_ctrl_c_ends_all_threads(small_parts):
    def ctrl_c(_rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_passages(*many_doors(), threads=3, progress=ctrl_c)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("count")]


# -------------------------------------------------------------------------------------------------- settings and engines


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beams": 3}, "beams is 3, expected 1 to 2"),
        ({"glitch_ms": -1}, "glitch_ms is -1, expected 0 to 1000"),
        ({"min_block_ms": 10_001}, "min_block_ms is 10001, expected 0 to 10000"),
        ({"blocked_after_ms": 999}, "blocked_after_ms is 999, expected 1000 to 86400000"),
    ],
)
def test_settings_without_sense_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        BarrierSettings(**wrong)


@pytest.mark.parametrize("threads", [0, 65])
def test_an_impossible_number_of_threads_is_refused(threads):
    with pytest.raises(ValueError, match=f"threads is {threads}, expected 1 to 64"):
        count_passages([1], [1], [0], threads=threads)


def test_the_engine_can_be_forced():
    assert choose_engine(COMPILED).name == COMPILED
    assert choose_engine(PURE).name == PURE
    assert choose_engine(PURE).notice is None  # who asked for it needs no explanation


def test_an_unknown_engine_is_refused():
    with pytest.raises(EngineError, match="FOOTFALL_ENGINE is 'turbo', expected compiled or pure"):
        choose_engine("turbo")


def test_without_the_compiled_engine_the_pure_one_counts_and_says_why_in_one_line(mocker):
    mocker.patch("footfall_gateway.engine.compiled_engine", side_effect=ImportError("No module named _beam"))
    chosen = choose_engine(None)
    assert chosen.name == PURE
    assert "the compiled engine was not built" in chosen.notice
    assert "apt install gcc python3-dev" in chosen.notice
    assert "\n" not in chosen.notice


def test_forcing_an_engine_that_was_not_built_is_refused(mocker):
    mocker.patch("footfall_gateway.engine.compiled_engine", side_effect=ImportError("No module named _beam"))
    with pytest.raises(
        EngineError, match=r"the compiled engine cannot be used \(No module named _beam\): install"
    ):
        choose_engine(COMPILED)


ROOM = array("i", bytes(4 * 16)), array("q", bytes(8 * 16)), array("B", bytes(16))


@pytest.mark.parametrize(
    "call",
    [
        lambda e, b, r, c: e.run(r, b, *c, 0, 3, *c, 16),  # more rows than there are
        lambda e, b, r, c: e.run(r, b, *c, -1, 2, *c, 16),
        lambda e, b, r, c: e.run(r, b, *c, 0, 2, *c, 16),  # more room than there is
        lambda e, b, r, c: e.finish(r, b, *c),
        lambda e, b, r, c: e.run_and_add(
            r, b, e.tally(HOUR_MS), *c, 0, 3, *ROOM, 16, ROOM[0], ROOM[1], ROOM[0], 4
        ),
        lambda e, b, r, c: e.run_and_add(
            r, b, e.tally(HOUR_MS), *c, 0, 2, *c, 16, ROOM[0], ROOM[1], ROOM[0], 16
        ),
        lambda e, b, r, c: e.run_and_add(
            r, b, e.tally(HOUR_MS), *c, 0, 2, *ROOM, 16, ROOM[0], ROOM[1], ROOM[0], 16
        ),
        lambda e, b, r, c: e.run_and_add(
            r, b, e.tally(HOUR_MS), *c, 0, 2, *ROOM, 16, ROOM[0], ROOM[1], ROOM[0], 2
        ),
        lambda e, b, r, c: e.add(e.tally(HOUR_MS), *c, 3, c[0], c[1], c[0]),
        lambda e, b, r, c: e.add(e.tally(HOUR_MS), *c, 2, c[0], c[1], c[0]),
        lambda e, b, r, c: e.close(e.tally(HOUR_MS), 2, c[0], c[1], c[0]),
    ],
)
def test_the_compiled_engine_never_reads_or_writes_beside_a_column(call):
    used = compiled_engine()
    two_rows = array("i", [1, 1]), array("q", [1, 2]), array("B", [0, 0])
    with pytest.raises(IndexError):
        call(used, used.barrier(2, 8, 40, 60_000), used.replay(), two_rows)


def test_more_buckets_than_an_engine_writes_at_a_time_are_all_there():
    people = 70_000
    states = np.concatenate([[0], np.tile([1, 3, 2, 0], people)]).astype(np.uint8)
    t_ms = np.arange(len(states), dtype=np.int64) * 500  # the n-th is through at 2000 * n
    counted = count_buckets(np.zeros(len(states), np.int32), t_ms, states, width_ms=1000)
    assert list(counted.start_ms) == [2000 * number for number in range(1, people + 1)]
    assert list(counted.counts) == [1, 0, 0, 0] * people
