"""Beam edges to passages: the state machine behind every count.

The firmware feeds it from pins, the simulator from geometry, `footfall recount` from recorded columns (compiled).
There is no clock in here: callers say how many milliseconds have gone by, so nothing depends on where a
tick counter wraps and every number stays a small integer on a 32-bit board.

A barrier is two parallel beams, outer and inner, closer together than a body is deep. Someone going in breaks
outer, both, inner, none; someone going out the other way round. Whoever turns back leaves in the order in which
they came. A thing thinner than the beam spacing never breaks both. With one beam there is no direction.

A runner's arms swing faster than the body goes, there and back, and may break the beams in any order. Alone they are nobody;
shortly before or behind a body they tell from which side it came and to which it went.
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
HOLD_MS = 150  # how long a passage is held back, in case it was an arm ahead of the body it belongs to
ARM_LAG_MS = 25  # from beam to beam in less: 4 m/s, no body is that fast, an arm swung forward is
BLOCKED_AFTER_MS = (
    60000  # broken for longer, a beam is obstructed or out of line, and nobody stands that long
)

MAX_ELAPSED_MS = 0x1FFFFFFF  # the longest step (6 days); longer silences are fed in pieces
MAX_T_MS = 0x3FFFFFFFFFF  # a recorded time beyond the year 2109 is none
_TICKS_MASK = 0x3FFFFFFF  # MicroPython's ticks_ms wraps at 2**30
_HORIZON_MS = 0x0FFFFFFF  # here the inner clock is set back, so that it stays below 2**30

# Where a crossing stands. IN and OUT say from which side it began.
_CLEAR = 0
_IN_FIRST = 1  # outer broken
_IN_BOTH = 2
_IN_LAST = 3  # only inner still broken: the way in is nearly done
_IN_AGAIN = 4  # then outer broken again: someone follows closely, or the person steps back
_IN_DOUBT = 5  # then inner clear: what comes next tells the one from the other
_OUT_FIRST = 6
_OUT_BOTH = 7
_OUT_LAST = 8
_OUT_AGAIN = 9
_OUT_DOUBT = 10
_TOGETHER = 11  # both broken at once: the order of clearing will tell
_UNKNOWN = 12  # after a start in the middle or a fault: wait until both are clear
_IN_THIN = 13  # from outer to inner without both: no body, unless more of it comes at once or came before
_OUT_THIN = 14

# What a change of state means beside the next place.
_ENTERED = 0x10  # both are broken: how long that took tells the speed
_AGAIN = 0x20  # the first beam is broken again
_DOUBT = 0x30  # the last beam has cleared and the first has not
_FOLLOWED = 0x40  # the doubt is over: one is through, the next one has both broken
_FOLLOWED_THIN = 0x50  # one is through, something thin follows
_DONE = 0x60
_BACK = 0x70  # out of the first beam again, as who turns back; with one beam that is a passage

# What becomes of a crossing, by place * 4 + new state (0 none, 1 outer, 2 inner, 3 both blocked): the lower hex digit
# is the next place, the upper one what it means.
_NEXT = (
    b"\x00\x01\x06\x0b"  # clear
    b"\x70\x01\x0d\x12"  # in, first: turns back | - | thin | both
    b"\x60\x01\x03\x02"  # in, both: both clear at once, the entry decides | steps back | goes on | -
    b"\x60\x35\x03\x24"  # in, last: through | the next one comes as this one leaves | - | again
    b"\x60\x35\x03\x04"  # in, again: through | followed, or back | a trailing bag | -
    b"\x00\x05\x56\x42"  # in, in doubt: back out | - | followed by something thin | followed
    b"\x70\x0e\x06\x17"  # out, first
    b"\x60\x08\x06\x07"  # out, both
    b"\x60\x08\x3a\x29"  # out, last
    b"\x60\x08\x3a\x09"  # out, again
    b"\x00\x51\x0a\x47"  # out, in doubt
    b"\x00\x08\x03\x0b"  # together: no order at all | outer is last: out | inner is last: in | -
    b"\x00\x0c\x0c\x0c"  # unknown
    b"\x60\x01\x0d\x12"  # in, thin: through, if a body came before the arm | ...
    b"\x60\x0e\x06\x17"  # out, thin
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
        self._lag_ms = 0  # from the first beam broken to both broken; 0 = not yet
        self._entry_clear_since = 0  # when the first beam cleared
        self._last_clear_since = 0  # when the last beam cleared
        self._came_by = 0  # the beam broken first since both were clear for HOLD_MS, or since somebody passed
        self._turned = 0  # the last crossing seemed to turn back: the beam at its other side; else 0
        self._held = 0  # a passage that is not reported yet
        self._passed_at = -_HORIZON_MS  # the last passage: when, which way, and what it was like
        self._passed = 0
        self._passed_transit_ms = 0
        self._passed_lag_ms = 0
        self._passed_block_ms = 0
        self._due = _HORIZON_MS  # when to look what time alone has brought about, at the latest
        self._set_due()

    def quiet(self):
        """True when no time is running: until the next edge, further steps would report nothing."""
        return self.raw == self.settled and not self._held and not self.settled & ~self.faulted

    def settle_ms(self):
        """How long the beams must hold their state until all that has happened before is reported."""
        return self.glitch_ms + HOLD_MS

    def step(self, elapsed_ms, state):
        """Let elapsed_ms (0 to MAX_ELAPSED_MS) go by, then take `state` (0 to 3) as what the beams show from now on.

        Returns the events that came to be by then, as bits. The same state again is a mere lapse of time: short
        states are only believed, long ones only found faulty, and a passage only reported, once time has gone by.
        """
        now = self._now + elapsed_ms
        events = 0
        if self.raw != self.settled and now - self._raw_since >= self.glitch_ms:
            events = self._settle(now)
        if self.beams == 1:
            state &= OUTER
        # While a new state is still on trial, it may turn out to have come in time.
        if now >= self._due and (self.raw == self.settled or state != self.raw):
            events |= self._lapse(now)
            if now >= _HORIZON_MS:
                now = self._set_back(now)
        if state != self.raw:
            self.raw = state
            self._raw_since = now
        self._now = now
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
        events = 0
        place = self._place
        if place == _CLEAR:
            if self._held and (t - self._passed_at > HOLD_MS or state == OUTER | INNER):
                events = self._report_held(now)
            place = self._come(state, t)
        entry = _NEXT[place * 4 + state]
        self._place = entry & 15
        if entry >= 16:
            events |= self._mean(entry & 0x70, place, now, t)
        if place == _IN_BOTH or place == _OUT_BOTH:
            self._entry_clear_since = t
        if cleared & self.faulted:
            events |= self._end_faults(cleared & self.faulted, now, t)
        # The earliest at which anything can be due; _lapse looks closer and finds out when it really is
        if state == 0:
            self._last_clear_since = t
            self._due = self._passed_at + HOLD_MS if self._held else _HORIZON_MS
        elif t + self.blocked_after_ms < self._due:
            self._due = t + self.blocked_after_ms
        return events

    def _end_faults(self, beams, now, t):
        """These beams were at fault and are clear since t."""
        if beams & OUTER:
            self.outer_fault_ago_ms = now - t
        if beams & INNER:
            self.inner_fault_ago_ms = now - t
        self.faulted &= ~beams
        return beams * FAULT_OUTER_ENDS

    def _come(self, state, t):
        """Both beams were clear, and are in `state` since t. Returns the place from which to go on."""
        turned = self._turned
        self._turned = 0
        clear_ms = t - self._last_clear_since
        if state == turned and clear_ms * 5 < self._lag_ms * 2:
            # Nobody turned back: a gap that is narrow against the beam spacing is one between a body and its arm
            return _IN_FIRST if state == INNER else _OUT_FIRST
        if self._came_by == 0 or clear_ms > HOLD_MS:
            self._came_by = state
        self._begin(t)
        return _CLEAR

    def _begin(self, t):
        """A crossing begins at t."""
        self._first_since = t
        self._outer_block_ms = 0
        self._inner_block_ms = 0
        self._lag_ms = 0

    def _mean(self, what, place, now, t):
        """A change of state at t that means more than the next place. Returns what is now certain."""
        inwards = place < _OUT_FIRST or place == _IN_THIN
        if what == _DONE:
            if place >= _IN_THIN and self._lag_ms == 0:
                return 0
            self._pass(PASSED_IN if inwards else PASSED_OUT, t)
        elif what == _ENTERED:
            if place >= _IN_THIN and self._lag_ms:
                # No arm behind a body, but the next one, from the other side, whom somebody let pass
                inwards = not inwards
                self._place = _IN_BOTH if inwards else _OUT_BOTH
                self._begin(self._outer_since if inwards else self._inner_since)
            if self._lag_ms == 0:
                return self._enter(PASSED_IN if inwards else PASSED_OUT, now, t)
        elif what == _AGAIN:
            # A gap on the first beam that is narrow against the beam spacing is one between the parts of one body.
            if (t - self._entry_clear_since) * 5 < self._lag_ms * 2:
                self._place = _IN_BOTH if inwards else _OUT_BOTH
        elif what == _DOUBT:
            self._last_clear_since = t
        elif what == _BACK:
            return self._turn_back(inwards, now, t)
        else:
            # A body that went through broke both beams for about the same time; one that stepped back and came
            # again kept the last one broken while it stopped and returned.
            entered_ms = self._outer_block_ms if inwards else self._inner_block_ms
            left_ms = self._inner_block_ms if inwards else self._outer_block_ms
            if left_ms <= entered_ms + entered_ms // 2 + 60:
                self._pass(PASSED_IN if inwards else PASSED_OUT, self._last_clear_since)
            if what == _FOLLOWED:
                self._begin(self._outer_since if inwards else self._inner_since)
                return self._enter(PASSED_IN if inwards else PASSED_OUT, now, t)
            self._begin(t)
        return 0

    def _turn_back(self, inwards, now, t):
        """Out of the first beam again at t; with one beam that is the way through. Returns what is now certain."""
        if self.beams == 1 and self._outer_block_ms >= self.min_block_ms:
            self.passage_ago_ms = now - t
            self.transit_ms = t - self._first_since
            return PASSED
        if self._lag_ms:
            other = INNER if inwards else OUTER
            if (
                self._came_by == other
            ):  # it came from there, an arm ahead, and the arm swung back before the body
                self._pass(PASSED_OUT if inwards else PASSED_IN, t)
            else:
                self._turned = other
        return 0

    def _enter(self, way, now, t):
        """Both beams are broken for the first time in this crossing: now its speed is known."""
        self._lag_ms = max(t - self._first_since, 1)
        if self._held and not self._arm_ahead(way):
            return self._report_held(now)
        return 0

    def _arm_ahead(self, way):
        """True when the passage held back was this one's own arm: thinner than the beam spacing at this one's pace, or faster than
        any body and twice as fast as this one."""
        return (
            self._passed == way
            and self._first_since - self._passed_at <= HOLD_MS
            and (
                self._passed_block_ms * 5 < self._lag_ms * 6
                or (self._passed_lag_ms < ARM_LAG_MS and self._passed_lag_ms * 2 <= self._lag_ms)
            )
        )

    def _pass(self, way, t):
        """Someone seems to be through at t: hold it back as a passage, unless it was no body, or one already counted."""
        block_ms = min(self._outer_block_ms, self._inner_block_ms)
        if block_ms < self.min_block_ms:
            return
        if (
            not self._held
            and self._passed == way
            and self._first_since - self._passed_at <= HOLD_MS
            and block_ms * 5 < self._passed_lag_ms * 6
        ):
            return  # an arm or a strap behind the body
        self._came_by = 0
        self._held = way
        self._passed = way
        self._passed_at = t
        self._passed_transit_ms = t - self._first_since
        self._passed_lag_ms = self._lag_ms
        self._passed_block_ms = block_ms

    def _report_held(self, now):
        event = self._held
        self._held = 0
        self.passage_ago_ms = now - self._passed_at
        self.transit_ms = self._passed_transit_ms
        return event

    def _lapse(self, now):
        """Time may have brought something about: a passage stands, or a beam is broken for too long for a person.

        After such a fault nothing counts until both beams are clear again.
        """
        events = 0
        blocked = self.settled & ~self.faulted
        if blocked:
            due = self._outer_since + self.blocked_after_ms
            if blocked & OUTER and now >= due:
                events |= FAULT_OUTER_BEGINS
                self.outer_fault_ago_ms = now - due
            due = self._inner_since + self.blocked_after_ms
            if blocked & INNER and now >= due:
                events |= FAULT_INNER_BEGINS
                self.inner_fault_ago_ms = now - due
            if events:
                self.faulted |= events // FAULT_OUTER_BEGINS
                self._place = _UNKNOWN
        if self._held and (events or (self._place == _CLEAR and now >= self._passed_at + HOLD_MS)):
            events |= self._report_held(now)
        self._set_due()
        return events

    def _set_due(self):
        """When, if no beam changes, time alone will bring something about."""
        self._due = _HORIZON_MS
        if self._held and self._place == _CLEAR:
            self._due = self._passed_at + HOLD_MS
        blocked = self.settled & ~self.faulted
        if blocked & OUTER and self._outer_since + self.blocked_after_ms < self._due:
            self._due = self._outer_since + self.blocked_after_ms
        if blocked & INNER and self._inner_since + self.blocked_after_ms < self._due:
            self._due = self._inner_since + self.blocked_after_ms

    def _set_back(self, now):
        """Set the inner clock back, so that it stays small; what lies further back keeps being long ago."""
        shift = now - _HORIZON_MS // 2
        self._first_since = max(self._first_since - shift, 0)
        self._outer_since = max(self._outer_since - shift, 0)
        self._inner_since = max(self._inner_since - shift, 0)
        self._entry_clear_since = max(self._entry_clear_since - shift, 0)
        self._last_clear_since = max(self._last_clear_since - shift, 0)
        self._passed_at = max(self._passed_at - shift, -_HORIZON_MS)
        self._set_due()
        return now - shift


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
                        barrier,
                        barrier.settle_ms(),
                        found,
                        sensor,
                        last_ms,
                        out_sensors,
                        out_t_ms,
                        out_events,
                    )
                started = True
                sensor = sensors[row]
                barrier.start(state)
                last_ms = t
                row += 1
                continue
            elapsed_ms = t - last_ms
            if not 0 <= elapsed_ms <= MAX_ELAPSED_MS:
                if elapsed_ms < 0 or t > MAX_T_MS:
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
                barrier, barrier.settle_ms(), 0, self.sensor, self.last_ms, out_sensors, out_t_ms, out_events
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
        if events > ANY_PASSAGE:
            return self._write_faults(barrier, events, found, sensor, t, out_sensors, out_t_ms, out_events)
        return found

    def _write_faults(self, barrier, events, found, sensor, t, out_sensors, out_t_ms, out_events):
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
            self.went_in += event == PASSED_IN  # no branches: which way people go cannot be foreseen
            self.went_out += event == PASSED_OUT
            self.passed += event == PASSED
            self.faults += event == FAULT_OUTER_BEGINS or event == FAULT_INNER_BEGINS
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
