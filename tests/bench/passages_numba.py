"""The counting core once more, for numba: one function over columns with its state in local variables.

A competitor in bench_counting.py and nothing else. The rules are those of firmware/lib/footfall_core/beam.py; time is UTC
in 64 bits, and a passage goes straight into the bucket under way, as in passages.c.
"""

import numba
import numpy as np

OUTER, INNER = 1, 2
HOLD_MS = 150
ARM_LAG_MS = 25
NEVER = 2**62
LONG_AGO = -(2**60)

CLEAR, IN_FIRST, IN_BOTH, IN_LAST, IN_AGAIN, IN_DOUBT = range(6)
OUT_FIRST, OUT_BOTH, OUT_LAST, OUT_AGAIN, OUT_DOUBT, TOGETHER, UNKNOWN, IN_THIN, OUT_THIN = range(6, 15)
ENTERED, AGAIN, DOUBT, FOLLOWED, FOLLOWED_THIN, DONE, BACK = range(0x10, 0x80, 0x10)
WENT_IN, WENT_OUT, PASSED, FAULT = 0, 1, 2, 3  # columns of the counts

NEXT = np.array(
    [
        [CLEAR, IN_FIRST, OUT_FIRST, TOGETHER],
        [BACK | CLEAR, IN_FIRST, IN_THIN, ENTERED | IN_BOTH],
        [DONE | CLEAR, IN_FIRST, IN_LAST, IN_BOTH],
        [DONE | CLEAR, DOUBT | IN_DOUBT, IN_LAST, AGAIN | IN_AGAIN],
        [DONE | CLEAR, DOUBT | IN_DOUBT, IN_LAST, IN_AGAIN],
        [CLEAR, IN_DOUBT, FOLLOWED_THIN | OUT_FIRST, FOLLOWED | IN_BOTH],
        [BACK | CLEAR, OUT_THIN, OUT_FIRST, ENTERED | OUT_BOTH],
        [DONE | CLEAR, OUT_LAST, OUT_FIRST, OUT_BOTH],
        [DONE | CLEAR, OUT_LAST, DOUBT | OUT_DOUBT, AGAIN | OUT_AGAIN],
        [DONE | CLEAR, OUT_LAST, DOUBT | OUT_DOUBT, OUT_AGAIN],
        [CLEAR, FOLLOWED_THIN | IN_FIRST, OUT_DOUBT, FOLLOWED | OUT_BOTH],
        [CLEAR, OUT_LAST, IN_LAST, TOGETHER],
        [CLEAR, UNKNOWN, UNKNOWN, UNKNOWN],
        [DONE | CLEAR, IN_FIRST, IN_THIN, ENTERED | IN_BOTH],
        [DONE | CLEAR, OUT_THIN, OUT_FIRST, ENTERED | OUT_BOTH],
    ],
    np.uint8,
)


@numba.njit(nogil=True, inline="always")
def _count(out_sensors, out_start_ms, out_counts, at, width_ms, sensor, t, what):  # type: ignore[no-untyped-def]
    if at < 0 or out_sensors[at] != sensor or t < out_start_ms[at] or t >= out_start_ms[at] + width_ms:
        at += 1
        out_sensors[at] = sensor
        out_start_ms[at] = t - t % width_ms
        out_counts[at, :] = 0
    out_counts[at, what] += 1
    return at


@numba.njit(nogil=True, cache=False)
def count_buckets(  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0915 - numba is fastest with one function
    sensors, t_ms, states, beams, glitch_ms, min_block_ms, blocked_after_ms, width_ms,
    out_sensors, out_start_ms, out_counts,
):  # fmt: skip
    """Returns how many buckets there are, or -1 - row for a row that cannot be."""
    mask = OUTER if beams == 1 else OUTER | INNER
    rows = len(sensors)
    at = -1
    row = 0
    while row < rows:
        sensor = sensors[row]
        now = t_ms[row]
        if states[row] > 3 or now < 0:
            return -1 - row
        raw = settled = np.int64(states[row]) & mask
        raw_since = outer_since = inner_since = first_since = now
        entry_clear_since = last_clear_since = now
        outer_block = inner_block = lag = passed_lag = passed_block = np.int64(0)
        passed_at = np.int64(LONG_AGO)
        faulted = came_by = turned = np.int64(0)
        held = passed = np.int64(-1)
        place = np.int64(UNKNOWN if raw else CLEAR)
        due = now + blocked_after_ms if raw else np.int64(NEVER)
        row += 1
        last = False
        while not last:
            if row < rows and sensors[row] == sensor:
                if states[row] > 3 or t_ms[row] < now:
                    return -1 - row
                now = t_ms[row]
                state = np.int64(states[row]) & mask
                row += 1
            else:
                last = True
                now += glitch_ms + HOLD_MS
                state = raw

            if raw != settled and now - raw_since >= glitch_ms:
                t = raw_since
                changed = raw ^ settled
                cleared = changed & settled
                settled = raw
                if changed & OUTER:
                    if raw & OUTER:
                        outer_since = t
                    else:
                        outer_block = max(outer_block, t - outer_since)
                if changed & INNER:
                    if raw & INNER:
                        inner_since = t
                    else:
                        inner_block = max(inner_block, t - inner_since)
                before = place
                if before == CLEAR:
                    if held >= 0 and (t - passed_at > HOLD_MS or raw == OUTER | INNER):
                        at = _count(
                            out_sensors, out_start_ms, out_counts, at, width_ms, sensor, passed_at, held
                        )
                        held = -1
                    if raw == turned and (t - last_clear_since) * 5 < lag * 2:
                        before = np.int64(IN_FIRST if raw == INNER else OUT_FIRST)
                    else:
                        if came_by == 0 or t - last_clear_since > HOLD_MS:
                            came_by = raw
                        first_since = t
                        outer_block = inner_block = lag = 0
                    turned = np.int64(0)
                entry = np.int64(NEXT[before, raw])
                place = entry & 15
                if entry >= 16:
                    what = entry & 0x70
                    inwards = before < OUT_FIRST or before == IN_THIN
                    way = np.int64(WENT_IN if inwards else WENT_OUT)
                    passes = what == DONE and (before < IN_THIN or lag > 0)
                    passes_at = t
                    if what == ENTERED and before >= IN_THIN and lag > 0:
                        inwards = not inwards
                        way = np.int64(WENT_IN if inwards else WENT_OUT)
                        place = np.int64(IN_BOTH if inwards else OUT_BOTH)
                        first_since = outer_since if inwards else inner_since
                        outer_block = inner_block = lag = 0
                    enters = what == ENTERED and lag == 0
                    if what == AGAIN:
                        if (t - entry_clear_since) * 5 < lag * 2:
                            place = IN_BOTH if inwards else OUT_BOTH
                    elif what == DOUBT:
                        last_clear_since = t
                    elif what == BACK and lag > 0:
                        other = np.int64(INNER if inwards else OUTER)
                        if came_by == other:
                            passes = True
                            way = np.int64(WENT_OUT if inwards else WENT_IN)
                        else:
                            turned = other
                    elif what in (FOLLOWED, FOLLOWED_THIN):
                        entered = outer_block if inwards else inner_block
                        left = inner_block if inwards else outer_block
                        passes = left <= entered + entered // 2 + 60
                        passes_at = last_clear_since
                        enters = what == FOLLOWED
                    if passes:
                        block = min(outer_block, inner_block)
                        if block >= min_block_ms and not (
                            held < 0
                            and passed == way
                            and first_since - passed_at <= HOLD_MS
                            and block * 5 < passed_lag * 6
                        ):
                            came_by = np.int64(0)
                            held = passed = way
                            passed_at = passes_at
                            passed_lag = lag
                            passed_block = block
                    if what in (FOLLOWED, FOLLOWED_THIN):
                        first_since = t
                        if what == FOLLOWED:
                            first_since = outer_since if inwards else inner_since
                        outer_block = inner_block = lag = 0
                    if enters:
                        lag = max(t - first_since, 1)
                        if held >= 0 and not (
                            passed == way
                            and first_since - passed_at <= HOLD_MS
                            and (
                                passed_block * 5 < lag * 6
                                or (passed_lag < ARM_LAG_MS and passed_lag * 2 <= lag)
                            )
                        ):
                            at = _count(
                                out_sensors, out_start_ms, out_counts, at, width_ms, sensor, passed_at, held
                            )
                            held = -1
                    if what == BACK and beams == 1 and outer_block >= min_block_ms:
                        at = _count(out_sensors, out_start_ms, out_counts, at, width_ms, sensor, t, PASSED)
                if before in (IN_BOTH, OUT_BOTH):
                    entry_clear_since = t
                faulted &= ~cleared
                # When something is due at the earliest; below it is looked at more closely
                if raw == 0:
                    last_clear_since = t
                    due = passed_at + HOLD_MS if held >= 0 else np.int64(NEVER)
                else:
                    due = min(due, t + blocked_after_ms)

            if now >= due and (raw == settled or state != raw):
                open_beams = settled & ~faulted
                outer_due = outer_since + blocked_after_ms if open_beams & OUTER else np.int64(NEVER)
                inner_due = inner_since + blocked_after_ms if open_beams & INNER else np.int64(NEVER)
                first_due, second_due = min(outer_due, inner_due), max(outer_due, inner_due)
                if held >= 0 and (first_due <= now or (place == CLEAR and passed_at + HOLD_MS <= now)):
                    at = _count(out_sensors, out_start_ms, out_counts, at, width_ms, sensor, passed_at, held)
                    held = -1
                if first_due <= now:
                    at = _count(out_sensors, out_start_ms, out_counts, at, width_ms, sensor, first_due, FAULT)
                if second_due <= now:
                    at = _count(
                        out_sensors, out_start_ms, out_counts, at, width_ms, sensor, second_due, FAULT
                    )
                if outer_due <= now:
                    faulted |= OUTER
                    place = UNKNOWN
                if inner_due <= now:
                    faulted |= INNER
                    place = UNKNOWN
                open_beams = settled & ~faulted
                due = passed_at + HOLD_MS if held >= 0 and place == CLEAR else np.int64(NEVER)
                if open_beams & OUTER:
                    due = min(due, outer_since + blocked_after_ms)
                if open_beams & INNER:
                    due = min(due, inner_since + blocked_after_ms)
            if state != raw:
                raw = state
                raw_since = now
        if row < rows and sensors[row] < sensor:
            return -1 - row
    return at + 1
