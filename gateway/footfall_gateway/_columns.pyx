"""The compiled core's door for columns: takes buffers, lets go of the GIL, and calls `_beam`.

The functions have the names, the arguments and the results of the methods of Replay and Tally in
firmware/lib/footfall_core/beam.py, which is where they are described; `counting` calls either.
"""

from footfall_gateway._beam cimport Barrier, Replay, Tally


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
