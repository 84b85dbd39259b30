"""The loader: MicroPython runs this file after every reset. Updates over the air never touch it: it is small and trusts nothing.

It chooses which firmware runs, counts starts that came to nothing, and keeps what nobody else caught. The firmware is in

    slots/a/ or slots/b/    each a whole one: app, board/, node/, footfall_core/, as .mpy or .py
    the search path         where there are no slots: copied by hand, frozen, or on the virtual board

and is started by `app.run(facts)`. Two files are its memory, both replaced as a whole or not at all:

start.json, notes between starts; node/boot.py writes them too. Missing or damaged, it begins anew. A JSON object with

    slot    "a" or "b": the one to run; without it the first that is there
    trial   "a" or "b": a new firmware that has to prove itself; it runs in place of `slot` ...
    tries   ... as often as this says, counted down before each start. At 0, or where it cannot be imported, the trial is over
    failed  why the last trial was over, for the node to tell; node/boot.py removes it
    short   starts in a row that did not get as far as "healthy" (node/boot.py sets 0), this one included. A start after a power
            cut does not count. More than SHORT_RUNS, and the firmware is asked for its safe mode
    loading the slot that is being imported; still there at the next start, that slot hung the board or brought it down
    why     the cause of this start where it is the loader's own doing ("crash: ValueError")

crash.txt, the last crashes, at most LONGEST_LOG characters, oldest first. Each begins with a line

    == new boot=12 fw=0.1.0 slot=a

boot 0: it came to nothing before its number was known. node/crash.py makes "told" of "new" once the gateway has it.

facts, what the firmware gets: a dict with `slot` ("" for the search path), `trial` and `safe` (bool), `why` (text, may be
empty), `keep_crash(text, boot, fw, slot)`; the firmware adds `boot` and `fw` for the loader. A later loader may tell more.

Ctrl-C, which is what mpremote sends, leads to the REPL and is no crash. A watchdog cannot be stopped: it is given an hour, so that
there is time for copying, and a prompt that somebody forgot counts again afterwards.
"""

import gc
import io
import json
import os
import sys
import time

import machine

NOTES = "start.json"
CRASHES = "crash.txt"
SLOTS = ("a", "b")
SHORT_RUNS = 3  # in a row: then the safe mode
TURN_ABOUT_AFTER = 6  # short runs, the safe mode's too: then every other start tries the other slot
LONGEST_LOG = 2048
LONGEST_CRASH = 800
WATCHDOG_S = 180  # for importing, and for reading a full spool; then the firmware sets its own
PAUSE_S = 1  # before a restart, for the console
PAUSE_SAFE_S = 60  # ... where the safe mode crashed too: each start wears the flash
NOTHING_WORKS_S = 300
AT_THE_PROMPT_S = 3600


def read(name, most):
    try:
        with open(name) as file:
            return file.read(min(most, os.stat(name)[6]))  # it asks for as much heap as it may read
    except (OSError, UnicodeError):
        return ""


def write(name, text):
    """Replace a file; True if that went well."""
    try:
        with open(name + ".new", "w") as file:
            file.write(text)
            file.flush()
        os.rename(name + ".new", name)
        return True
    except OSError as error:
        print("loader: cannot write %s (%s)" % (name, error))
        return False


def read_notes():
    """What start.json says, and of that only what makes sense."""
    try:
        found = json.loads(read(NOTES, 400))
    except Exception:  # whatever a damaged file makes of the parser
        found = None
    notes = {}
    if isinstance(found, dict):
        for key, value in found.items():
            if key in ("slot", "trial", "loading"):
                good = value in SLOTS
            elif key in ("tries", "short"):
                good = type(value) is int and 0 <= value < 1000
            else:
                good = key in ("failed", "why") and isinstance(value, str)
            if good:
                notes[key] = value
    return notes


def write_notes(notes):
    return write(NOTES, json.dumps(notes))


def slots():
    """The slots in which there is a firmware."""
    found = []
    for slot in SLOTS:
        try:
            names = os.listdir("slots/" + slot)
        except OSError:
            continue
        if "app.mpy" in names or "app.py" in names:
            found.append(slot)
    return found


def over(notes, reason):
    """The trial has failed: back to the slot that is known to work, which starts with a clean record."""
    notes["failed"] = ("slot %s: %s" % (notes.pop("trial"), reason))[:100]
    notes.pop("tries", None)
    notes["short"] = 1
    print("loader: the new firmware is given up, %s" % notes["failed"])


def choose(notes, after_power_cut):
    """(slots to try, the first one on trial, safe mode, why) for this start; the notes are brought up to date and written."""
    found = slots()
    short = notes.get("short", 0)
    notes["short"] = max(short, 1) if after_power_cut else short + 1
    trial = notes.get("trial")
    tries = notes.get("tries", 0)
    if trial and trial not in found:
        over(notes, "not there")
    elif trial and not tries:
        over(notes, "it did not reach the gateway")
    elif trial:
        notes["tries"] = tries - 1
    else:
        notes.pop("tries", None)
    hung = notes.pop("loading", None)
    order = [slot for slot in found if slot == notes.get("slot")] + [
        slot for slot in found if slot not in (notes.get("slot"), trial)
    ]
    if notes["short"] > TURN_ABOUT_AFTER and notes["short"] & 1:
        order.reverse()
    if hung in order and not after_power_cut:
        print("loader: slot %s did not get through its start" % hung)
        order.remove(hung)
        order.append(hung)
    order.append("")
    why = notes.pop("why", "")
    first = trial if "trial" in notes else order[0]
    if first:
        notes["loading"] = first
    written = write_notes(notes)
    on_trial = "trial" in notes and written  # a try that cannot be counted would never end
    if on_trial:
        order.insert(0, trial)
    elif trial in found:
        order.append(trial)  # rather than nothing at all
    safe = notes["short"] > SHORT_RUNS and not on_trial
    return order, on_trial, safe, "" if after_power_cut else why


def shown(error):
    """An exception's traceback, printed and returned."""
    sys.print_exception(error)
    gc.collect()
    try:
        text = io.StringIO()
        sys.print_exception(error, text)
        return text.getvalue()
    except MemoryError:
        return type(error).__name__


def keep_crash(text, boot, fw, slot, again=True):
    """Add a crash to crash.txt; again=False: unless the same is there already."""
    text = text.strip()[-LONGEST_CRASH:].replace("\n==", "\n =")
    log = read(CRASHES, 2 * LONGEST_LOG)
    if not again and text in log:
        return
    log += "== new boot=%d fw=%s slot=%s\n%s\n" % (boot, fw, slot or "-", text)
    while len(log) > LONGEST_LOG:
        cut = log.find("\n== ") + 1
        log = log[cut:] if cut else log[-LONGEST_LOG:]
    write(CRASHES, log)


def load(slot):
    """Import the firmware of a slot; what starts it. Whatever goes wrong is the caller's, but leaves nothing of it behind."""
    loaded = set(sys.modules)
    if slot:
        sys.path.insert(0, "slots/" + slot)
    try:
        import app

        return app.run
    except Exception:
        for name in list(sys.modules):
            if name not in loaded:
                del sys.modules[name]
        if slot:
            sys.path.remove("slots/" + slot)
        gc.collect()
        raise


def start_watchdog():
    """So that a firmware that hangs while it is imported does not hang for ever; unless the settings want none."""
    try:
        wanted = json.loads(read("config.json", 8192)).get("watchdog_s")
    except Exception:
        wanted = None
    return None if wanted == 0 else machine.WDT(timeout=WATCHDOG_S * 1000)


def wait(seconds, watchdog):
    for _ in range(seconds):
        time.sleep(1)
        if watchdog:
            watchdog.feed()


def run_something():
    """Start the first firmware that can be started. Returns how many seconds to wait before the next reset."""
    notes = read_notes()
    order, on_trial, safe, why = choose(notes, machine.reset_cause() == machine.PWRON_RESET)
    for slot in order:
        gc.collect()
        try:
            start = load(slot)
        except Exception as error:
            if slot or len(order) == 1:
                print("loader: the firmware in %s cannot be started:" % ("slot " + slot if slot else "flash"))
                keep_crash(shown(error), 0, "?", slot, not safe)
            if on_trial:
                over(notes, type(error).__name__)
                on_trial = False
            notes.pop("loading", None)
            write_notes(notes)
            continue
        loaded()
        run(start, {"slot": slot, "trial": on_trial, "safe": safe, "why": why, "keep_crash": keep_crash})
        return PAUSE_SAFE_S if safe else PAUSE_S
    print(
        "No firmware on this board can be started; the reasons are in crash.txt. Nobody is counted.\n"
        "Copy the firmware again over USB (footfall flash), or Ctrl-C for the prompt. Trying again in %d minutes."
        % (NOTHING_WORKS_S // 60)
    )
    return NOTHING_WORKS_S


def loaded():
    """Whatever was being imported did not bring the board down."""
    notes = read_notes()
    if notes.pop("loading", None):
        write_notes(notes)


def run(start, facts):
    """Run it; what ends it is kept as a crash."""
    try:
        start(facts)
        raise RuntimeError("the firmware ended")
    except Exception as caught:
        error = caught
    keep_crash(shown(error), facts.get("boot", 0), facts.get("fw", "?"), facts["slot"], not facts["safe"])
    notes = read_notes()  # the firmware may have written to them
    notes["why"] = ("crash: " + type(error).__name__)[:40]
    write_notes(notes)


watchdog = start_watchdog()
try:
    wait(run_something(), watchdog)
    machine.reset()
except KeyboardInterrupt:
    if watchdog:
        machine.WDT(timeout=AT_THE_PROMPT_S * 1000)
    notes = read_notes()
    notes["short"] = 0  # somebody looks after it
    notes.pop("loading", None)
    write_notes(notes)
    print(
        "Stopped by Ctrl-C. Ctrl-D starts the firmware again%s."
        % (", or the watchdog in an hour" if watchdog else "")
    )
