"""Beam edges to passages: the state machine behind every count.

The firmware feeds it from pins, the simulator from geometry, `footfall recount` from recorded columns (compiled).
There is no clock in here: callers say how many milliseconds have gone by, so nothing depends on where a
tick counter wraps and every number stays a small integer on a 32-bit board.

A barrier is two parallel beams, outer and inner, closer together than a body is deep. Someone going in breaks
outer, both, inner, none; someone going out the other way round. Whoever turns back leaves in the order in which
they came. A thing thinner than the beam spacing never breaks both. With one beam there is no direction.
"""

OUTER = 1  # bits of a state; a set bit = that beam is blocked
INNER = 2

# What a step can report, as bits. At most one passage a step; faults may come with it.
PASSED_IN = 1
PASSED_OUT = 2
PASSED = 4  # one beam: direction unknown
FAULT_OUTER_BEGINS = 8
FAULT_INNER_BEGINS = 16
FAULT_OUTER_ENDS = 32
FAULT_INNER_ENDS = 64
ANY_PASSAGE = 7

GLITCH_MS = (
    8  # a state that holds for less is chatter at the rim of a coat, or a spike; 33 ms is the lag of a runner
)
MIN_BLOCK_MS = 40  # a beam broken for less is a hand or an insect; a runner's torso takes 80
BLOCKED_AFTER_MS = (
    60000  # broken for longer, a beam is obstructed or out of line, and nobody stands that long
)

MAX_ELAPSED_MS = 0x1FFFFFFF  # the longest step (6 days); longer silences are fed in pieces
MAX_T_MS = 0x3FFFFFFFFFF  # a recorded time beyond the year 2109 is none
_TICKS_MASK = 0x3FFFFFFF  # MicroPython's ticks_ms wraps at 2**30
_NEVER = 0x3FFFFFFF
_REBASE_MS = 0x0FFFFFFF  # beyond this the inner clock is set back, so that it stays below 2**30

# Where a crossing stands. IN and OUT say from which side it began.
_CLEAR = 0
_IN_FIRST = 1  # outer broken
_IN_BOTH = 2
_IN_LAST = 3  # only inner still broken: the way in is nearly done
_IN_AGAIN = 4  # then outer broken again: someone follows closely, or the person steps back
_OUT_FIRST = 5
_OUT_BOTH = 6
_OUT_LAST = 7
_OUT_AGAIN = 8
_TOGETHER = 9  # both broken at once: the order of clearing will tell
_UNKNOWN = 10  # after a start in the middle or a fault: wait until both are clear

# What a change of state completes.
_DONE_IN = 0x10
_DONE_OUT = 0x20
_FOLLOWED_IN = 0x30
_FOLLOWED_OUT = 0x40

# What becomes of a crossing, by place * 4 + new state (0 none, 1 outer, 2 inner, 3 both blocked): the lower hex digit
# is the next place, the upper one what is completed.
_NEXT = (
    b"\x00\x01\x05\x09"  # clear
    b"\x00\x01\x03\x02"  # in, first: turns back | - | thin, both for an instant | both
    b"\x10\x01\x03\x02"  # in, both: both clear at once, the entry decides | steps back | goes on | -
    b"\x10\x31\x03\x04"  # in, last: through | through, and the next one is at outer | - | again
    b"\x10\x31\x03\x04"  # in, again: through | through and followed, or back | a trailing bag | -
    b"\x00\x07\x05\x06"  # out, first
    b"\x20\x07\x05\x06"  # out, both
    b"\x20\x07\x45\x08"  # out, last
    b"\x20\x07\x45\x08"  # out, again
    b"\x00\x07\x03\x09"  # together: no order at all | outer is last: out | inner is last: in | -
    b"\x00\x0a\x0a\x0a"  # unknown
)


def ticks_elapsed(t, t0):
    """Milliseconds from tick t0 to tick t, both from a counter that wraps at 2**30 (MicroPython's ticks_ms)."""
    return (t - t0) & _TICKS_MASK


class Barrier:
    """One light barrier. Feed it every change of its beams with `step`, and a step now and then in between.

    beams: 2 (direction) or 1 (outer only, no direction). glitch_ms, min_block_ms, blocked_after_ms: see the constants.
    """

    def __init__(
        self, beams=2, glitch_ms=GLITCH_MS, min_block_ms=MIN_BLOCK_MS, blocked_after_ms=BLOCKED_AFTER_MS
    ):
        self.beams = beams
        self.glitch_ms = glitch_ms
        self.min_block_ms = min_block_ms
        self.blocked_after_ms = blocked_after_ms
        self.start(0)

    def start(self, state):
        """Forget everything; the beams are in `state` (bits OUTER, INNER). A beam that is already broken is nobody."""
        if self.beams == 1:
            state &= OUTER
        self.passage_ago_ms = 0  # how long before the last step's end the reported passage was complete
        self.transit_ms = 0  # how long it took, from the first beam broken to the last one clear
        self.outer_fault_ago_ms = 0  # how long before the last step's end the reported fault began or ended
        self.inner_fault_ago_ms = 0
        self.faulted = 0  # bits of the beams that count as obstructed
        self.settled = state  # the state with chatter taken out
        self.raw = state  # the state as last fed
        self._now = 0
        self._raw_since = 0
        self._place = _UNKNOWN if state else _CLEAR
        self._first_since = 0  # when the crossing under way broke its first beam
        self._outer_since = 0
        self._inner_since = 0
        self._outer_block_ms = 0  # longest block of each beam in the crossing under way
        self._inner_block_ms = 0
        self._fault_due = self.blocked_after_ms if state else _NEVER

    def quiet(self):
        """True when no time is running: until the next edge, further steps would report nothing."""
        return self.raw == self.settled and self._fault_due == _NEVER

    def step(self, elapsed_ms, state):
        """Let elapsed_ms (0 to MAX_ELAPSED_MS) go by, then take `state` (0 to 3) as what the beams show from now on.

        Returns the events that came to be by then, as bits. The same state again is a mere lapse of time: short
        states are only believed, and long ones only found faulty, once time has gone by.
        """
        now = self._now + elapsed_ms
        events = 0
        if self.raw != self.settled and now - self._raw_since >= self.glitch_ms:
            events = self._settle(now)
        if self.beams == 1:
            state &= OUTER
        # while a new state is still on trial, the beam may turn out to have been clear in time
        if now >= self._fault_due and (self.raw == self.settled or state != self.raw):
            events |= self._find_faults(now)
        if state != self.raw:
            self.raw = state
            self._raw_since = now
        self._now = now
        if now > _REBASE_MS:
            self._rebase()
        return events

    def _settle(self, now):
        """The raw state has held long enough: it is what happened, at the moment when it began."""
        state = self.raw
        t = self._raw_since
        changed = state ^ self.settled
        cleared = changed & self.settled
        self.settled = state
        if changed & OUTER:
            if state & OUTER:
                self._outer_since = t
            elif t - self._outer_since > self._outer_block_ms:
                self._outer_block_ms = t - self._outer_since
        if changed & INNER:
            if state & INNER:
                self._inner_since = t
            elif t - self._inner_since > self._inner_block_ms:
                self._inner_block_ms = t - self._inner_since
        self._fault_due = _NEVER
        blocked = state & ~self.faulted
        if blocked & OUTER:
            self._fault_due = self._outer_since + self.blocked_after_ms
        if blocked & INNER and self._inner_since + self.blocked_after_ms < self._fault_due:
            self._fault_due = self._inner_since + self.blocked_after_ms

        place = self._place
        if place == _CLEAR:
            self._first_since = t
            self._outer_block_ms = 0
            self._inner_block_ms = 0
        entry = _NEXT[place * 4 + state]
        self._place = entry & 15
        events = 0
        if entry >= 16:
            events = self._complete(entry & 0xF0, now, t)
        elif self.beams == 1 and place == _IN_FIRST and self._outer_block_ms >= self.min_block_ms:
            events = self._report(PASSED, now, t)
        if cleared & self.faulted:
            events |= (cleared & self.faulted) * FAULT_OUTER_ENDS
            if cleared & self.faulted & OUTER:
                self.outer_fault_ago_ms = now - t
            if cleared & self.faulted & INNER:
                self.inner_fault_ago_ms = now - t
            self.faulted &= ~cleared
        return events

    def _complete(self, what, now, t):
        """Someone seems to be through: judge by how long the beams were broken."""
        if what == _DONE_IN or what == _DONE_OUT:
            if self._outer_block_ms < self.min_block_ms or self._inner_block_ms < self.min_block_ms:
                return 0
            return self._report(PASSED_IN if what == _DONE_IN else PASSED_OUT, now, t)
        # The first beam is broken again while the last one has just cleared. A body that went through broke both
        # for about the same time; one that stepped back kept the last one broken while it stopped and returned.
        if what == _FOLLOWED_IN:
            entered_ms = self._outer_block_ms
            left_ms = self._inner_block_ms
            event = PASSED_IN
        else:
            entered_ms = self._inner_block_ms
            left_ms = self._outer_block_ms
            event = PASSED_OUT
        if (
            left_ms < self.min_block_ms
            or entered_ms < self.min_block_ms
            or left_ms > entered_ms + entered_ms // 2 + 60
        ):
            return 0
        events = self._report(event, now, t)
        self._first_since = self._outer_since if event == PASSED_IN else self._inner_since
        self._outer_block_ms = 0
        self._inner_block_ms = 0
        return events

    def _report(self, event, now, t):
        self.passage_ago_ms = now - t
        self.transit_ms = t - self._first_since
        return event

    def _find_faults(self, now):
        """A beam has been broken for too long: nobody, and nothing counts until both are clear again."""
        events = 0
        self._fault_due = _NEVER
        if self.settled & OUTER and not self.faulted & OUTER:
            due = self._outer_since + self.blocked_after_ms
            if now >= due:
                events |= FAULT_OUTER_BEGINS
                self.faulted |= OUTER
                self.outer_fault_ago_ms = now - due
            else:
                self._fault_due = due
        if self.settled & INNER and not self.faulted & INNER:
            due = self._inner_since + self.blocked_after_ms
            if now >= due:
                events |= FAULT_INNER_BEGINS
                self.faulted |= INNER
                self.inner_fault_ago_ms = now - due
            elif due < self._fault_due:
                self._fault_due = due
        if events:
            self._place = _UNKNOWN
        return events

    def _rebase(self):
        """Set the inner clock back, so that it stays small; what lies further back keeps being long ago."""
        shift = self._now - _REBASE_MS // 2
        self._now -= shift
        self._raw_since = max(self._raw_since - shift, 0)
        self._first_since = max(self._first_since - shift, 0)
        self._outer_since = max(self._outer_since - shift, 0)
        self._inner_since = max(self._inner_since - shift, 0)
        if self._fault_due != _NEVER:
            self._fault_due = max(self._fault_due - shift, 0)


class Replay:
    """Recorded edges of many sensors, column by column, through a barrier: `footfall recount` and the benchmark.

    After each call: `found` says how many events were written, `sensor` and `last_ms` where it stands.
    """

    def __init__(self):
        self.started = False
        self.sensor = 0
        self.last_ms = 0
        self.found = 0

    def run(self, barrier, sensors, t_ms, states, row, end, out_sensors, out_t_ms, out_events, room):
        """Feed rows `row` to `end` (exclusive); the next call goes on where this one stopped, also in other columns.

        Columns: sensor number, UTC ms, state 0 to 3; sorted by sensor, then time. Each event is written as
        (sensor, UTC ms at which it happened, its bit) to the three output columns, which have `room` rows, 16 at least.
        Returns the next row to feed: `end`, or less when the output is full. A row that is out of order or has an
        impossible state or time gives -1 - row, and nothing after it is fed.
        """
        room -= 8  # a row writes six events at most: the end of one sensor or a long silence, and one step
        found = 0
        sensor = self.sensor
        last_ms = self.last_ms
        started = self.started
        while row < end and found < room:
            t = t_ms[row]
            state = states[row]
            if state > 3:
                row = -1 - row
                break
            if sensors[row] != sensor or not started:
                if t < 0 or t > MAX_T_MS or (started and sensors[row] < sensor):
                    row = -1 - row
                    break
                if started:
                    found = self._lapse(
                        barrier, barrier.glitch_ms, found, sensor, last_ms, out_sensors, out_t_ms, out_events
                    )
                started = True
                sensor = sensors[row]
                barrier.start(state)
                last_ms = t
                row += 1
                continue
            elapsed_ms = t - last_ms
            if elapsed_ms < 0:
                row = -1 - row
                break
            if elapsed_ms > MAX_ELAPSED_MS:
                if t > MAX_T_MS:
                    row = -1 - row
                    break
                # All that so long a time can bring about happens in its first piece
                found = self._lapse(
                    barrier, MAX_ELAPSED_MS, found, sensor, last_ms, out_sensors, out_t_ms, out_events
                )
                elapsed_ms = MAX_ELAPSED_MS
            events = barrier.step(elapsed_ms, state)
            if events:
                found = self._write(barrier, events, found, sensor, t, out_sensors, out_t_ms, out_events)
            last_ms = t
            row += 1
        self.sensor = sensor
        self.last_ms = last_ms
        self.started = started
        self.found = found
        return row

    def finish(self, barrier, out_sensors, out_t_ms, out_events):
        """The recording ends here: its last state counts as having held. Writes and counts events as `run` does."""
        self.found = 0
        if self.started:
            self.found = self._lapse(
                barrier, barrier.glitch_ms, 0, self.sensor, self.last_ms, out_sensors, out_t_ms, out_events
            )
            self.started = False

    def _lapse(self, barrier, elapsed_ms, found, sensor, last_ms, out_sensors, out_t_ms, out_events):
        events = barrier.step(elapsed_ms, barrier.raw)
        if events:
            t = last_ms + elapsed_ms
            return self._write(barrier, events, found, sensor, t, out_sensors, out_t_ms, out_events)
        return found

    def _write(self, barrier, events, found, sensor, t, out_sensors, out_t_ms, out_events):
        if events & ANY_PASSAGE:
            out_sensors[found] = sensor
            out_t_ms[found] = t - barrier.passage_ago_ms
            out_events[found] = events & ANY_PASSAGE
            found += 1
        outer = events & (FAULT_OUTER_BEGINS | FAULT_OUTER_ENDS)
        inner = events & (FAULT_INNER_BEGINS | FAULT_INNER_ENDS)
        if inner and barrier.inner_fault_ago_ms > barrier.outer_fault_ago_ms:  # the earlier one first
            out_sensors[found] = sensor
            out_t_ms[found] = t - barrier.inner_fault_ago_ms
            out_events[found] = inner
            found += 1
            inner = 0
        if outer:
            out_sensors[found] = sensor
            out_t_ms[found] = t - barrier.outer_fault_ago_ms
            out_events[found] = outer
            found += 1
        if inner:
            out_sensors[found] = sensor
            out_t_ms[found] = t - barrier.inner_fault_ago_ms
            out_events[found] = inner
            found += 1
        return found


class Tally:
    """What Replay found, summed by sensor and time: how many went in, went out, passed a single beam, were faults.

    width_ms: how long a bucket is. A bucket begins at a multiple of it and is written as (sensor, UTC ms at which it
    begins, and four counts side by side), once something later has come up; `close` writes the last one.
    """

    def __init__(self, width_ms):
        self.width_ms = width_ms
        self.sensor = 0
        self.start_ms = 0
        self.went_in = 0
        self.went_out = 0
        self.passed = 0
        self.faults = 0

    def add(self, sensors, t_ms, events, end, out_sensors, out_start_ms, out_counts):
        """Count the first `end` events of these columns; returns how many buckets were written, `end` at most."""
        written = 0
        for i in range(end):
            t = t_ms[i]
            if sensors[i] != self.sensor or t < self.start_ms or t >= self.start_ms + self.width_ms:
                written = self.close(written, out_sensors, out_start_ms, out_counts)
                self.sensor = sensors[i]
                self.start_ms = t - t % self.width_ms
            event = events[i]
            if event == PASSED_IN:
                self.went_in += 1
            elif event == PASSED_OUT:
                self.went_out += 1
            elif event == PASSED:
                self.passed += 1
            elif event & (FAULT_OUTER_BEGINS | FAULT_INNER_BEGINS):
                self.faults += 1
        return written

    def close(self, written, out_sensors, out_start_ms, out_counts):
        """Write the bucket under way, if it has anything, behind `written` others; returns how many there are now."""
        if self.went_in + self.went_out + self.passed + self.faults > 0:
            out_sensors[written] = self.sensor
            out_start_ms[written] = self.start_ms
            out_counts[4 * written] = self.went_in
            out_counts[4 * written + 1] = self.went_out
            out_counts[4 * written + 2] = self.passed
            out_counts[4 * written + 3] = self.faults
            written += 1
        self.went_in = 0
        self.went_out = 0
        self.passed = 0
        self.faults = 0
        return written
