"""The command topic: what the gateway asks of the node, and the answers. app.py gives the actions by name."""

import asyncio
import json

from micropython import const

from footfall_core import payload

MAX_WAITING = const(8)  # answers that wait for a connection; further commands are not taken


class Commands:
    """actions: name -> function(values) that raises ValueError where it cannot; publish(text) is async.

    A command is {"v":1,"do":name,"id":...}; the answer {"v":1,"do":name,"id":...,"ok":true} or with "error" instead.
    Actions in `silent` get no answer.
    """

    def __init__(self, actions, silent, publish, report=print):
        self._actions = actions
        self._silent = silent
        self._publish = publish
        self._report = report
        self._answers = []
        self._wake = asyncio.Event()

    def received(self, text):
        """A command, as received."""
        try:
            values = payload.loads(text)
        except payload.PayloadError as error:
            self._report("command: %s" % error)
            return
        if len(self._answers) >= MAX_WAITING:
            self._report("command: too many at once")
            return
        name = values.get("do")
        answer = {"v": 1, "do": name, "id": values.get("id")}
        try:
            if name not in self._actions:
                raise ValueError("unknown command")
            self._actions[name](values)
            answer["ok"] = True
        except ValueError as error:
            self._report("command %s: %s" % (name, error))
            answer["error"] = str(error)
        if name not in self._silent:
            self._answers.append(json.dumps(answer))
            self._wake.set()

    async def answer(self):
        """Send the answers; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._answers:
                await self._publish(self._answers.pop(0))
