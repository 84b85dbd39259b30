"""A new firmware on trial, and what became of the latest update. Loaded at the start, where there was one, and forgotten again."""

import asyncio

from micropython import const

import node as package
from node import boot, flash

NOTE = "update.json"  # update.py and updater.py write it
HEAD = "update.head"
TRIAL_MS = const(600000)  # in which a new firmware must reach the gateway ...
LEAST_TRIAL_MS = const(60000)  # ... but not before this: what fails at once fails within a minute
LOOK_S = const(1)


def answer():
    """What the state tells of the latest update: a dict of version and percent, or version and error; None if all is well."""
    note = flash.read_json(NOTE) or {}
    if boot.on_trial():
        return {"version": package.VERSION, "percent": 100}
    if boot.failed():
        return {"version": note.get("version"), "error": boot.failed()}
    if "error" in note:
        return note
    if note.get("slot") == boot.other_slot():
        return {"version": note.get("version"), "error": "interrupted; sent again, it goes on"}
    return None


async def keep(node):
    """Confirm the new firmware once it has reached the gateway, or give it up. node is app.Node."""
    # The gateway has this record, or a later one, on its disk: the whole way works, there and back. A retained
    # acknowledgement cannot say so, no earlier boot had this number.
    seq = node.spool.next_seq - 1
    failures = since_ms = 0
    while True:
        await asyncio.sleep(LOOK_S)
        if failures != node.supervisor.failures:
            failures = node.supervisor.failures
            since_ms = node.uptime.now()
        reached = node.vouched or node.spool.acked >= seq
        if reached and node.uptime.now() - since_ms >= LEAST_TRIAL_MS:
            break
        if node.uptime.now() >= TRIAL_MS:
            boot.give_up("did not reach the gateway within %d minutes" % (TRIAL_MS // 60000))
            node.restart("update given up")
    boot.confirm()
    flash.remove(NOTE)
    flash.remove(HEAD)
    print("update: %s has reached the gateway and stays" % package.VERSION)
    node.update_told = None
    node.status.changed()
