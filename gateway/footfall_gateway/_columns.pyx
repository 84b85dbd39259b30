"""The compiled core's door for columns: takes buffers, lets go of the GIL, and calls `_beam`.

The functions have the names, the arguments and the results of the methods of Replay and Tally in
firmware/lib/footfall_core/beam.py, which is where they are described; `counting` calls either.
"""

from footfall_gateway._beam cimport Barrier, Replay, Tally

cdef Py_ssize_t ROWS_WITHOUT_GIL = 1_000_000  # some 10 ms: soon enough for Ctrl-C and a progress bar


def run(Replay replay not None, Barrier barrier not None,
        const int[::1] sensors not None, const long long[::1] t_ms not None, const unsigned char[::1] states not None,
        Py_ssize_t row, Py_ssize_t end,
        int[::1] out_sensors not None, long long[::1] out_t_ms not None, unsigned char[::1] out_events not None,
        Py_ssize_t room):
    if not 0 <= row <= end <= min(sensors.shape[0], t_ms.shape[0], states.shape[0]):
        raise IndexError(f"rows {row} to {end} are not in these columns")
    if not 16 <= room <= min(out_sensors.shape[0], out_t_ms.shape[0], out_events.shape[0]):
        raise IndexError(f"{room} rows of output: 16 at least, and no more than the columns have")
    if row == end:
        return row
    with nogil:
        row = replay.run(barrier, &sensors[0], &t_ms[0], &states[0], row, end,
                         &out_sensors[0], &out_t_ms[0], &out_events[0], room)
    return row


def finish(Replay replay not None, Barrier barrier not None,
           int[::1] out_sensors not None, long long[::1] out_t_ms not None, unsigned char[::1] out_events not None):
    if min(out_sensors.shape[0], out_t_ms.shape[0], out_events.shape[0]) < 16:
        raise IndexError("the output columns have fewer than 16 rows")
    replay.finish(barrier, &out_sensors[0], &out_t_ms[0], &out_events[0])


def add(Tally tally not None,
        const int[::1] sensors not None, const long long[::1] t_ms not None, const unsigned char[::1] events not None,
        Py_ssize_t end,
        int[::1] out_sensors not None, long long[::1] out_start_ms not None, int[::1] out_counts not None):
    cdef Py_ssize_t written
    if not 0 <= end <= min(sensors.shape[0], t_ms.shape[0], events.shape[0]):
        raise IndexError(f"there are no {end} events in these columns")
    if min(out_sensors.shape[0], out_start_ms.shape[0], out_counts.shape[0] // 4) < end:
        raise IndexError(f"the output columns have no room for {end} buckets")
    if end == 0:
        return 0
    with nogil:
        written = tally.add(&sensors[0], &t_ms[0], &events[0], end,
                            &out_sensors[0], &out_start_ms[0], &out_counts[0])
    return written


def close(Tally tally not None, Py_ssize_t written,
          int[::1] out_sensors not None, long long[::1] out_start_ms not None, int[::1] out_counts not None):
    if not 0 <= written < min(out_sensors.shape[0], out_start_ms.shape[0], out_counts.shape[0] // 4):
        raise IndexError(f"the output columns have no room behind {written} buckets")
    return tally.close(written, &out_sensors[0], &out_start_ms[0], &out_counts[0])


def run_and_add(
        Replay replay not None, Barrier barrier not None, Tally tally not None,
        const int[::1] sensors not None, const long long[::1] t_ms not None, const unsigned char[::1] states not None,
        Py_ssize_t row, Py_ssize_t end,
        int[::1] out_sensors not None, long long[::1] out_t_ms not None, unsigned char[::1] out_events not None,
        Py_ssize_t room,
        int[::1] bucket_sensors not None, long long[::1] bucket_starts_ms not None, int[::1] bucket_counts not None,
        Py_ssize_t bucket_room):
    """`run` and `add` in turn until the buckets could overflow, or a good many rows are done: the less often a thread
    wants the GIL, the less it waits for others. Returns what `run` returns, and the number of buckets."""
    cdef Py_ssize_t written = 0
    cdef Py_ssize_t stop = min(end, row + ROWS_WITHOUT_GIL)
    if not 0 <= row <= end <= min(sensors.shape[0], t_ms.shape[0], states.shape[0]):
        raise IndexError(f"rows {row} to {end} are not in these columns")
    if not 16 <= room <= min(out_sensors.shape[0], out_t_ms.shape[0], out_events.shape[0]):
        raise IndexError(f"{room} rows of output: 16 at least, and no more than the columns have")
    if not room <= bucket_room <= min(bucket_sensors.shape[0], bucket_starts_ms.shape[0], bucket_counts.shape[0] // 4):
        raise IndexError(f"{bucket_room} buckets of output: {room} at least, and no more than the columns have")
    with nogil:
        while 0 <= row < stop and written + room <= bucket_room:
            row = replay.run(barrier, &sensors[0], &t_ms[0], &states[0], row, stop,
                             &out_sensors[0], &out_t_ms[0], &out_events[0], room)
            written += tally.add(&out_sensors[0], &out_t_ms[0], &out_events[0], replay.found,
                                 &bucket_sensors[written], &bucket_starts_ms[written], &bucket_counts[4 * written])
    return row, written


def parse_rows(const unsigned char[::1] text not None, int fields, int sensor_field, int t_field, int state_field,
               int[::1] out_sensors not None, long long[::1] out_t_ms not None, unsigned char[::1] out_states not None):
    """Lines of `fields` values between commas, each ended by a newline, into columns; returns how many there were.

    -1 where a line is anything else, has a number that does not fit, or the columns are full: `trace_files` then reads
    the text again in its slow and explaining way.
    """
    cdef Py_ssize_t room = min(out_sensors.shape[0], out_t_ms.shape[0], out_states.shape[0])
    if text.shape[0] == 0:
        return 0
    if room == 0 or text[text.shape[0] - 1] != c"\n":
        return -1
    cdef Py_ssize_t rows
    with nogil:
        rows = _parse(&text[0], text.shape[0], fields, sensor_field, t_field, state_field,
                      &out_sensors[0], &out_t_ms[0], &out_states[0], room)
    return rows


cdef Py_ssize_t _parse(const unsigned char *text, Py_ssize_t size, int fields,
                       int sensor_field, int t_field, int state_field,
                       int *sensors, long long *t_ms, unsigned char *states, Py_ssize_t room) noexcept nogil:
    # The text ends with a newline, so looking one character ahead of any other stays inside
    cdef Py_ssize_t at = 0, row = 0
    cdef int field, digits
    cdef bint negative
    cdef long long value
    while at < size:
        if row == room:
            return -1
        for field in range(fields):
            if field == sensor_field or field == t_field or field == state_field:
                negative = text[at] == c"-"
                at += negative
                value = digits = 0
                while c"0" <= text[at] <= c"9":
                    value = value * 10 + (text[at] - c"0")
                    at += 1
                    digits += 1
                    if digits > 18:
                        return -1
                if digits == 0:
                    return -1
                if negative:
                    value = -value
                if field == sensor_field:
                    if not -0x80000000 <= value <= 0x7FFFFFFF:
                        return -1
                    sensors[row] = <int>value
                elif field == t_field:
                    t_ms[row] = value
                else:
                    if not 0 <= value <= 255:
                        return -1
                    states[row] = <unsigned char>value
            elif text[at] == c'"':
                at += 1
                while text[at] != c'"' or text[at + 1] == c'"':
                    if text[at] == c"\n":
                        return -1
                    at += 2 if text[at] == c'"' else 1
                at += 1
            else:
                while text[at] != c"," and text[at] != c"\n" and text[at] != c'"' and text[at] != c"\r":
                    at += 1
            if field < fields - 1:
                if text[at] != c",":
                    return -1
            else:
                if text[at] == c"\r":
                    at += 1
                if text[at] != c"\n":
                    return -1
            at += 1
        row += 1
    return row
