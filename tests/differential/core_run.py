"""Runs the core over prepared input and prints everything it says. MicroPython and CPython run this same file.

    core_run.py TASK INPUT     writes to standard output; TASK is a function below

The tests call the functions directly as well, with the compiled classes. Nothing here may use what MicroPython lacks.
"""

import json
import sys
from array import array

from footfall_core import beam, button, payload, record, spool, topic

TICK_MASK = 0x3FFFFFFF


def barrier(path, write, make_barrier=beam.Barrier):
    """Lines `b beams glitch min_block blocked_after state tick` begin a trace, lines `elapsed state` are its edges.

    Time is a tick counter that wraps at 2**30, as on the board. Writes a line for each step that reports something.
    """
    with open(path) as lines:
        for line in lines:
            words = line.split()
            if words[0] == "b":
                beams, glitch_ms, min_block_ms, blocked_after_ms, state, tick = [
                    int(word) for word in words[1:]
                ]
                one = make_barrier(beams, glitch_ms, min_block_ms, blocked_after_ms)
                one.start(state)
                steps = 0
                write(line)
                continue
            before = tick
            tick = (tick + int(words[0])) & TICK_MASK
            events = one.step(beam.ticks_elapsed(tick, before), int(words[1]))
            steps += 1
            if events or steps & 63 == 0:
                write(
                    "%d %d %d %d %d %d %d %d %d %d\n"
                    % (
                        steps, events, one.passage_ago_ms, one.transit_ms, one.outer_fault_ago_ms,
                        one.inner_fault_ago_ms, one.faulted, one.settled, one.raw, one.quiet(),
                    )
                )  # fmt: skip


def panel(path, write):
    """Lines `p buttons debounce lockout down` begin, lines `elapsed down` are contact edges."""
    with open(path) as lines:
        for line in lines:
            words = line.split()
            if words[0] == "p":
                buttons, debounce_ms, lockout_ms, down = [int(word) for word in words[1:]]
                one = button.ButtonPanel(buttons, debounce_ms, lockout_ms)
                one.start(down)
                write(line)
                continue
            voted = one.step(int(words[0]), int(words[1]))
            write("%d %d %d %d" % (voted, one.press_ago_ms if voted else 0, one.down, one.quiet()))
            write(" %s\n" % one.take_suppressed())


def recording(path, write):
    """Lines `sensor t_ms state`, in stretches that begin with `r beams glitch min_block blocked_after width_ms`."""
    with open(path) as lines:
        rows = []
        settings = None
        for line in lines:
            words = line.split()
            if words[0] == "r":
                _replay(settings, rows, write)
                settings = [int(word) for word in words[1:]]
                rows = []
                write(line)
            else:
                rows.append([int(word) for word in words])
        _replay(settings, rows, write)


def _replay(settings, rows, write):
    if not rows:
        return
    sensors = array("i", [row[0] for row in rows])
    t_ms = array("q", [row[1] for row in rows])
    states = array("B", [row[2] for row in rows])
    one = beam.Barrier(*settings[:4])
    replay = beam.Replay()
    tally = beam.Tally(settings[4])
    room = 40
    out = array("i", [0] * room), array("q", [0] * room), array("B", [0] * room)
    sums = array("i", [0] * room), array("q", [0] * room), array("i", [0] * room * 4)
    row = 0
    while True:
        if row < len(rows):
            row = replay.run(one, sensors, t_ms, states, row, len(rows), out[0], out[1], out[2], room)
            if row < 0:
                write("refused %d\n" % (-1 - row))
                return
        else:
            replay.finish(one, out[0], out[1], out[2])
            row = -1
        for i in range(replay.found):
            write("%d %d %d\n" % (out[0][i], out[1][i], out[2][i]))
        written = tally.add(out[0], out[1], out[2], replay.found, sums[0], sums[1], sums[2])
        if row < 0:
            written = tally.close(written, sums[0], sums[1], sums[2])
        for i in range(written):
            write("= %d %d %s\n" % (sums[0][i], sums[1][i], list(sums[2][4 * i : 4 * i + 4])))
        if row < 0:
            return


def _refused(call, *arguments):
    """What the call returns, or in what words it refuses."""
    try:
        return call(*arguments)
    except payload.PayloadError as error:
        return "refused: %s" % error.field


def _shown(value):
    """Text that is the same in both Pythons; bytes as hex, tuples as lists."""
    if isinstance(value, (bytes, bytearray)):
        return "".join(["%02x" % byte for byte in value])
    if isinstance(value, (list, tuple)):
        return "[" + " ".join([_shown(one) for one in value]) + "]"
    return str(value)


def codecs(path, write):
    """A JSON value a line, each of which goes through everything that reads or writes the wire and the flash."""
    with open(path) as lines:
        for line in lines:
            value = json.loads(line)
            checked = _refused(record.check_record, value)
            write(_shown(checked) + "\n")
            if isinstance(checked, tuple):
                # The texts may differ in blanks and in how they write what is not ASCII, not in what they say
                write(_shown(json.loads(payload.encode_record(checked))) + "\n")
                writer = spool.SegmentWriter("8f3a01c2", 12, 1041)
                segment = writer.header() + writer.frame(checked) + writer.frame(checked)
                write(_shown(segment) + "\n")
                reader = spool.SegmentReader(bytes(segment[:-1]))
                write("%s %s %s\n" % (_shown(list(reader)), reader.good_bytes, reader.torn))
            elif isinstance(value, str):
                write("%s %s\n" % (_shown(_refused(topic.parse, value)), topic.valid_node(value)))
                write(_shown(_refused(payload.decode_ack, value)) + "\n")


def _main():
    task = {"barrier": barrier, "panel": panel, "recording": recording, "codecs": codecs}[sys.argv[1]]
    task(sys.argv[2], sys.stdout.write)


if __name__ == "__main__":
    _main()
