# The types that make firmware/lib/footfall_core/beam.py a C program: Cython reads the two together as `_beam`.
#
# A barrier's own times are below 2**30 by its contract, so `int` will do; only UTC milliseconds are wider. What is named
# here and not `readonly` cannot be seen from Python: tests/differential checks that, for a file that Cython does
# not find is left out without a word. Columns are plain pointers, which `_columns` takes from buffers. The module's
# constants need no line here: setup.py puts their values in their places.
#
# `_before` and `_behind` keep the objects of two threads out of each other's cache lines, which they write to with every
# edge: without them, two threads were 1.4 times as fast as one, with them 1.8 times.

cimport cython

cdef long long MAX_T_MS
cdef const unsigned char *_NEXT


@cython.final
cdef class Barrier:
    cdef char _before[64]
    cdef readonly int beams, glitch_ms, min_block_ms, blocked_after_ms
    cdef readonly int passage_ago_ms, transit_ms, outer_fault_ago_ms, inner_fault_ago_ms
    cdef readonly int faulted, settled, raw
    cdef int _now, _raw_since, _place, _first_since, _outer_since, _inner_since
    cdef int _outer_block_ms, _inner_block_ms, _lag_ms, _entry_clear_since, _last_clear_since, _due
    cdef int _came_by, _turned
    cdef int _held, _passed, _passed_at, _passed_transit_ms, _passed_lag_ms, _passed_block_ms
    cdef char _behind[64]

    cpdef void start(self, int state) noexcept nogil
    cpdef bint quiet(self) noexcept nogil
    cpdef int settle_ms(self) noexcept nogil
    @cython.locals(now=int, events=int)
    cpdef int step(self, int elapsed_ms, int state) noexcept nogil
    @cython.locals(state=int, t=int, changed=int, cleared=int, place=int, entry=int, events=int)
    cdef int _settle(self, int now) noexcept nogil
    cdef int _end_faults(self, int beams, int now, int t) noexcept nogil
    @cython.locals(turned=int, clear_ms=int)
    cdef int _come(self, int state, int t) noexcept nogil
    cdef void _begin(self, int t) noexcept nogil
    @cython.locals(inwards=bint, entered_ms=int, left_ms=int)
    cdef int _mean(self, int what, int place, int now, int t) noexcept nogil
    @cython.locals(other=int)
    cdef int _turn_back(self, bint inwards, int now, int t) noexcept nogil
    cdef int _enter(self, int way, int now, int t) noexcept nogil
    cdef bint _arm_ahead(self, int way) noexcept nogil
    @cython.locals(block_ms=int)
    cdef void _pass(self, int way, int t) noexcept nogil
    @cython.locals(event=int)
    cdef int _report_held(self, int now) noexcept nogil
    @cython.locals(blocked=int)
    cdef void _set_due(self) noexcept nogil
    @cython.locals(events=int, due=int, blocked=int)
    cdef int _lapse(self, int now) noexcept nogil
    @cython.locals(shift=int)
    cdef int _set_back(self, int now) noexcept nogil


@cython.final
cdef class Replay:
    cdef char _before[64]
    cdef readonly bint started
    cdef readonly int sensor
    cdef readonly long long last_ms
    cdef readonly Py_ssize_t found
    cdef char _behind[64]

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
    cdef Py_ssize_t _write(self, Barrier barrier, int events, Py_ssize_t found, int sensor, long long t,
                           int *out_sensors, long long *out_t_ms, unsigned char *out_events) noexcept nogil
    @cython.locals(outer=int, inner=int)
    cdef Py_ssize_t _write_faults(self, Barrier barrier, int events, Py_ssize_t found, int sensor, long long t,
                           int *out_sensors, long long *out_t_ms, unsigned char *out_events) noexcept nogil


@cython.final
cdef class Tally:
    cdef char _before[64]
    cdef readonly long long width_ms, start_ms
    cdef readonly int sensor, went_in, went_out, passed, faults
    cdef char _behind[64]

    @cython.locals(written=Py_ssize_t, i=Py_ssize_t, t="long long", event=int)
    cdef Py_ssize_t add(self, const int *sensors, const long long *t_ms, const unsigned char *events, Py_ssize_t end,
                        int *out_sensors, long long *out_start_ms, int *out_counts) noexcept nogil
    cdef Py_ssize_t close(self, Py_ssize_t written,
                          int *out_sensors, long long *out_start_ms, int *out_counts) noexcept nogil
