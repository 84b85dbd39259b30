"""The command `info`: what this node is and how it does, in one answer; no secret in it. Loaded for the moment only."""

import gc
import sys

import node as package
from board import system

_TEXT = 48  # characters of a name that somebody else chose


def answer(node, _values):
    """The answer's items; node is app.Node."""
    gc.collect()
    settings = node.settings
    told = {
        "fw": package.VERSION,
        "board": system.board_name(),
        "micropython": ".".join([str(part) for part in sys.implementation.version[:3]]),
        "node": settings.node,
        "boot": node.spool.boot,
        "cause": node.cause,
        "uptime_s": node.uptime.now() // 1000,
        "flash_free_kb": system.free_flash_kb(),
        "heap": gc.mem_free(),
        "rev": settings.revision,
        "config_error": node.remote.error,
        "barriers": settings.barriers,
        "buttons": list(settings.buttons),
        "lamps": list(settings.lamps),
        "status": settings.status,
        "question": settings.question,
        "lockout_ms": settings.lockout_ms,
        "debounce_ms": settings.debounce_ms,
        "watchdog_s": settings.watchdog_s,
        "spool": {
            "id": node.spool.id,
            "next": node.spool.next_seq,
            "depth": node.spool.depth(),
            "lost": node.spool.lost,
        },
        "beams": [door.state() for door in node.doors],
        "faults": [door.faults() for door in node.doors],
        "clock": node.time.known,
        "trial": node.trial is not None,
        "net": net(node),
    }
    state = node.state()
    for name in ("slot", "safe", "connect_error", "update"):  # what a node may have beside
        if name in state:
            told[name] = state[name]
    return told


def net(node):
    """How it reaches the gateway: no password in it."""
    settings = node.settings
    told = {
        "link": "cable" if settings.serial else "broker" if settings.mqtt else None,
        "connected": node.exchange.connected(),
    }
    if settings.wifi:
        told["wifi"] = settings.wifi["ssid"][:_TEXT]
        told["wifi_up"] = node.wifi.up()
        told["address"] = node.wifi.address()
        told["rssi"] = node.wifi.rssi()
        told["wifi_problem"] = node.wifi.problem
    if settings.mqtt and not settings.serial:
        told["broker"] = "%s:%d" % (settings.mqtt["host"][:_TEXT], settings.mqtt["port"])
        told["tls"] = bool(settings.mqtt["ca"])
        told["problem"] = node.client.problem if node.client else "the certificate cannot be used"
    return told
