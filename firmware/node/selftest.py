"""The command `test`: everything that a node can find out about itself, one line each. Loaded for the moment only.

{"do":"test","watch_s":3,"wait_s":0}: beams and buttons are watched for `watch_s` (to 60), the connection is waited for up to
`wait_s` (to 120). The answer has "results", a list of [name, ok, words]; ok is null for what only eyes can tell: lamps, and
a button that nobody pressed meanwhile. Who walks through meanwhile counts as always; presses are not taken for votes.
"""

import asyncio
from time import ticks_diff, ticks_ms

from board import system
from node import flash

_LOOK_MS = 10
_LAMP_MS = 400
_CHATTER = 10  # changes a second: nobody walks like that
_FILE = "selftest.tmp"
_TEXT = "0123456789abcdef" * 32
_LEAST_FLASH_KB = 64
_WEAK_DBM = -80
_BEAMS = ("outer", "inner")


def answer(node, values):
    """A coroutine that returns the answer's items; node is app.Node. ValueError for a wrong number of seconds."""
    return _test(node, _seconds(values, "watch_s", 3, 60), _seconds(values, "wait_s", 0, 120))


def _seconds(values, name, default, most):
    seconds = values.get(name, default)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= most:
        raise ValueError("%s is %s, expected a whole number from 0 to %d" % (name, seconds, most))
    return seconds


async def _test(node, watch_s, wait_s):
    results = []
    terminal = node.terminal
    if terminal:
        terminal.test(True)
    try:
        await _light_lamps(node, results)
        await _watch(node, watch_s, results)
    finally:
        if terminal:
            terminal.test(False)
    results.append(_flash())
    await _reach(node, wait_s, results)
    return {"results": results}


async def _light_lamps(node, results):
    count = len(node.settings.lamps)
    for number in range(count):
        node.terminal.show(1 << number)
        await asyncio.sleep_ms(_LAMP_MS)
        node.terminal.show(0)
    if count:
        results.append(["lamps", None, "%d lit one after the other: did you see each?" % count])
    if node.settings.status is not None:
        node.beacon.blink(3)
        results.append(["status lamp", None, "flashed three times: did you see it?"])


async def _watch(node, watch_s, results):
    """Beams and buttons, all at once."""
    doors = node.doors
    seen = [door.beams() for door in doors]
    changes = [[0, 0] for _ in doors]
    free = [3 & ~state for state in seen]  # bits of the beams that were free at least once
    began = ticks_ms()
    while ticks_diff(ticks_ms(), began) < watch_s * 1000:
        await asyncio.sleep_ms(_LOOK_MS)
        for i, door in enumerate(doors):
            state = door.beams()
            for beam in (0, 1):
                changes[i][beam] += (state ^ seen[i]) >> beam & 1
            seen[i] = state
            free[i] |= 3 & ~state
    for i, door in enumerate(doors):
        for beam in range(1 if node.settings.barriers[i]["inner"] is None else 2):
            name = "beam %d %s" % (door.number, _BEAMS[beam])
            results.append(
                [name] + _beam(seen[i] >> beam & 1, free[i] >> beam & 1, changes[i][beam], watch_s)
            )
    if node.terminal:
        held = node.terminal.held()
        for number in range(len(node.settings.buttons)):
            results.append(
                ["button %d" % number] + _button(held >> number & 1, node.terminal.tried >> number & 1)
            )


def _beam(broken, was_free, changes, watch_s):
    if changes > _CHATTER * max(watch_s, 1):
        return [
            False,
            "chatters, %d changes in %d s: aim it again, keep the sun off its receiver" % (changes, watch_s),
        ]
    if not was_free:
        return [False, "broken all the time: does something stand in it, is it aimed, has it power?"]
    if broken:
        return [False, "broken at the end: does somebody stand in it?"]
    if changes:
        return [True, "free, was broken %d times" % ((changes + 1) // 2)]
    return [True, "free; break it by hand to see it change"]


def _button(held, tried):
    if held:
        return [False, "held down: stuck, or pressed_level is wrong"]
    if tried:
        return [True, "pressed and released"]
    return [None, "released; press it during the test to be sure"]


def _flash():
    try:
        flash.write(_FILE, _TEXT)
        same = flash.read(_FILE) == _TEXT
        flash.remove(_FILE)
        free_kb = system.free_flash_kb()
    except OSError as error:
        flash.remove(_FILE + ".new")
        return ["flash", False, "cannot be written (%s)" % error]
    if not same:
        return ["flash", False, "reads back other than written: this board is broken"]
    if free_kb < _LEAST_FLASH_KB:
        return ["flash", False, "only %d KB free: make spool_kb smaller" % free_kb]
    return ["flash", True, "written and read back, %d KB free" % free_kb]


async def _reach(node, wait_s, results):
    began = ticks_ms()

    async def within(is_so):
        while not is_so() and ticks_diff(ticks_ms(), began) < wait_s * 1000:
            await asyncio.sleep_ms(250)
        return is_so()

    settings = node.settings
    if node.wifi:
        if await within(node.wifi.up):
            rssi = node.wifi.rssi()
            words = "%s, address %s, %s dBm" % (settings.wifi["ssid"], node.wifi.address(), rssi)
            if rssi is not None and rssi < _WEAK_DBM:
                results.append(["wifi", False, words + ": too weak, move the board or the access point"])
            else:
                results.append(["wifi", True, words])
        else:
            words = "%s: %s" % (settings.wifi["ssid"], node.wifi.problem or "still connecting")
            results.append(["wifi", False, words])
    if not node.client:
        why = "the certificate cannot be used" if settings.mqtt else "none in config.json"
        results.append(["broker", False, why + ": counting into flash only"])
        return
    name = "cable" if settings.serial else "broker"
    if await within(node.exchange.connected):
        results.append([name, True, "connected as %s" % settings.node])
    else:
        results.append([name, False, (node.client.problem or "not reached yet")[:160]])
    if await within(lambda: node.time.known):
        results.append(["time", True, "known"])
    else:
        results.append(
            ["time", False, "not known: does the gateway run, and name this node in its settings?"]
        )
