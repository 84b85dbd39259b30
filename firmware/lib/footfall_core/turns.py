"""What happened between two looks at a pair of beams, told by a hardware counter that never looks away.

Interrupts are late while the processor stands still: a program that looks again may see that the outer beam is now free and
the inner one broken, or that nothing has changed, and not that a whole person was in between. Two overlapping beams are
a quadrature signal, so a decoder in hardware (machine.Encoder with four phases) counts +1 for every step on the way

    none -> outer -> both -> inner -> none        (someone going in; going out counts down)

From its count and the states before and after, the way follows: node/door.py feeds the hidden states to the state machine, which
then judges as always. Chatter and turning back cancel in the count and add nothing. No times are known of what was hidden.
"""

PLACE = b"\x00\x01\x03\x02"  # of each state (bits outer, inner) on the way in
_STATES = b"\x00\x01\x03\x02"  # and back: the state at each place
STEP_MS = 80  # hidden states are taken to have lasted so long: a walker's beams are 70 ms apart, and a block lasts 2 of them


def hidden_states(before, after, steps):
    """The states passed through from `before` to `after`, the latter included, when the hardware counted `steps`.

    Empty where nothing has happened. (after,) alone where one step, or none that makes sense, lies between: the count and the
    states contradict each other by an edge that fell between reading the one and the other.
    """
    if (PLACE[before] + steps - PLACE[after]) & 3:
        return (after,) if after != before else ()
    way = 1 if steps > 0 else -1
    return tuple([_STATES[PLACE[before] + way * (n + 1) & 3] for n in range(abs(steps))])


def step_ms(room_ms, states, least_ms):
    """How long each of the hidden `states` is taken to have lasted, if all fell into the last room_ms.

    Whoever is hidden was there for long enough (`least_ms` is the shortest block that counts); how long, nobody knows. The
    last state needs no time of its own where a beam has just cleared: so blocks come out rather long.
    """
    wanted = max(STEP_MS, least_ms)
    return min(wanted, room_ms // (states + 1))
