"""A small MQTT broker for the demonstration, so that nobody has to install one: amqtt, in a process of its own.

`python -m footfall_simulator.broker PORT` says "ready" when it listens and ends with SIGTERM, or when whoever started it
is gone (its standard input ends). A real site runs mosquitto.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

__all__ = ["main"]


async def _serve(port: int) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 - an extra that only the demonstration needs

    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_reader(sys.stdin.fileno(), over.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await over.wait()
    await broker.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop. Returns the exit code."""
    port = int((sys.argv[1:] if arguments is None else arguments)[0])
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_serve(port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
