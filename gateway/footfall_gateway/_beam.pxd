# The types that make firmware/lib/footfall_core/beam.py a C program: Cython reads the two together as `_beam`.
#
# A barrier's own times are below 2**30 by its contract, so `int` will do; only UTC milliseconds are wider. What is named
# here and not `readonly` cannot be seen from Python: tests/differential checks that, for a file that Cython does
# not find is left out without a word. Columns are plain pointers, which `_columns` takes from buffers.

cimport cython

cdef int OUTER, INNER
cdef int PASSED_IN, PASSED_OUT, PASSED, ANY_PASSAGE
cdef int FAULT_OUTER_BEGINS, FAULT_INNER_BEGINS, FAULT_OUTER_ENDS, FAULT_INNER_ENDS
cdef int MAX_ELAPSED_MS, _TICKS_MASK, _NEVER, _REBASE_MS
cdef long long MAX_T_MS
cdef int _CLEAR, _IN_FIRST, _UNKNOWN
cdef int _DONE_IN, _DONE_OUT, _FOLLOWED_IN
cdef const unsigned char *_NEXT


@cython.final
cdef class Barrier:
    cdef readonly int beams, glitch_ms, min_block_ms, blocked_after_ms
    cdef readonly int passage_ago_ms, transit_ms, outer_fault_ago_ms, inner_fault_ago_ms
    cdef readonly int faulted, settled, raw
    cdef int _now, _raw_since, _place, _first_since, _outer_since, _inner_since
    cdef int _outer_block_ms, _inner_block_ms, _fault_due

    cpdef void start(self, int state) noexcept nogil
    cpdef bint quiet(self) noexcept nogil
    @cython.locals(now=int, events=int)
    cpdef int step(self, int elapsed_ms, int state) noexcept nogil
    @cython.locals(state=int, t=int, changed=int, cleared=int, blocked=int, place=int, entry=int, events=int)
    cdef int _settle(self, int now) noexcept nogil
    @cython.locals(entered_ms=int, left_ms=int, event=int, events=int)
    cdef int _complete(self, int what, int now, int t) noexcept nogil
    cdef int _report(self, int event, int now, int t) noexcept nogil
    @cython.locals(events=int, due=int)
    cdef int _find_faults(self, int now) noexcept nogil
    @cython.locals(shift=int)
    cdef void _rebase(self) noexcept nogil


@cython.final
cdef class Replay:
    cdef readonly bint started
    cdef readonly int sensor
    cdef readonly long long last_ms
    cdef readonly Py_ssize_t found

    @cython.locals(found=Py_ssize_t, sensor=int, last_ms="long long", started=bint, t="long long", state=int,
                   elapsed_ms="long long", events=int)
    cdef Py_ssize_t run(self, Barrier barrier, const int *sensors, const long long *t_ms, const unsigned char *states,
                        Py_ssize_t row, Py_ssize_t end,
                        int *out_sensors, long long *out_t_ms, unsigned char *out_events, Py_ssize_t room) noexcept nogil
    cdef void finish(self, Barrier barrier,
                     int *out_sensors, long long *out_t_ms, unsigned char *out_events) noexcept nogil
    @cython.locals(events=int, t="long long")
    cdef Py_ssize_t _lapse(self, Barrier barrier, int elapsed_ms, Py_ssize_t found, int sensor, long long last_ms,
                           int *out_sensors, long long *out_t_ms, unsigned char *out_events) noexcept nogil
    @cython.locals(outer=int, inner=int)
    cdef Py_ssize_t _write(self, Barrier barrier, int events, Py_ssize_t found, int sensor, long long t,
                           int *out_sensors, long long *out_t_ms, unsigned char *out_events) noexcept nogil


@cython.final
cdef class Tally:
    cdef readonly long long width_ms, start_ms
    cdef readonly int sensor, went_in, went_out, passed, faults

    @cython.locals(written=Py_ssize_t, i=Py_ssize_t, t="long long", event=int)
    cdef Py_ssize_t add(self, const int *sensors, const long long *t_ms, const unsigned char *events, Py_ssize_t end,
                        int *out_sensors, long long *out_start_ms, int *out_counts) noexcept nogil
    cdef Py_ssize_t close(self, Py_ssize_t written,
                          int *out_sensors, long long *out_start_ms, int *out_counts) noexcept nogil
