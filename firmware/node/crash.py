"""Tells the gateway of crashes, each once. The log is the loader's crash.txt (see main.py); loaded only to tell something new.

{"v":1,"do":"crash","boot":12,"fw":"0.1.0","text":"Traceback ..."}
"""

import asyncio
import json

from node import flash

FILE = "crash.txt"
_NEW = "== new "
_TOLD = "== told "
_ENTRY = "\n== "
_CONFIRMED_AFTER_S = (
    15  # longer than the broker may take: a connection on which it confirms nothing has ended by then
)


async def tell(exchange, publish):
    """Tell what is new, oldest first. What cannot be delivered stays for the next call."""
    while True:
        log = flash.read(FILE) or ""
        at = _find(log)
        if at < 0:
            return
        head, _, text = log[at : _end(log, at)].partition("\n")
        about = dict([part.split("=", 1) for part in head.split(" ") if "=" in part])
        boot = about.get("boot", "")
        message = {"v": 1, "do": "crash", "boot": int(boot) if boot.isdigit() else 0}
        message["fw"] = about.get("fw", "?")
        message["text"] = text.strip()
        connects = exchange.connects()
        if not await publish(json.dumps(message)):
            return
        await asyncio.sleep(_CONFIRMED_AFTER_S)
        if not exchange.connected() or exchange.connects() != connects:
            return
        log = flash.read(FILE) or ""  # another crash may have been added, and this one moved
        entry = log.find(head + "\n" + text)
        if entry >= 0:
            flash.write(FILE, log[:entry] + _TOLD + log[entry + len(_NEW) :])


def _find(log):
    if log.startswith(_NEW):
        return 0
    at = log.find("\n" + _NEW)
    return at + 1 if at >= 0 else -1


def _end(log, at):
    end = log.find(_ENTRY, at)
    return len(log) if end < 0 else end + 1
