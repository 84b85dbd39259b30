"""The command topic, and command lines on the USB console: what is asked of the node, and the answers. app.py gives the
actions by name."""

import asyncio
import gc
import json

from micropython import const

import node as package
from footfall_core import payload

MAX_WAITING = const(8)  # answers that wait for a connection; further commands are not taken
MAX_ANSWER_BYTES = const(2048)  # what a gateway takes, and what a line may be long


def aside(name, *arguments):
    """What `answer(*arguments)` of the module node.`name` returns. The module is forgotten again: it is rarely needed, and
    memory always."""
    gc.collect()
    try:
        return __import__("node." + name, None, None, ("answer",)).answer(*arguments)
    except MemoryError:
        raise ValueError(
            "too little memory for %s; the compiled firmware needs less (footfall flash)" % name
        ) from None
    finally:
        package.forget("node." + name)


class Commands:
    """actions: name -> function(values) that raises ValueError, in words, where it cannot; publish(text) is async.

    A command is {"v":1,"do":name,"id":...}; the answer {"v":1,"do":name,"id":...,"ok":true} or with "error" instead.
    An action may return a dict, whose items go into the answer, or a coroutine that will return one: then others are heard
    meanwhile, but only one such runs at a time. Actions in `silent` get no answer.
    """

    def __init__(self, actions, silent, publish, report=print):
        self._actions = actions
        self._silent = silent
        self._publish = publish
        self._report = report
        self._answers = []  # (how to publish it, answer)
        self._running = None  # name of the action that takes its time ...
        self._task = None  # ... and what runs it
        self.asked_by = None  # how to publish to whoever sent the command that is being taken
        self._wake = asyncio.Event()

    def received(self, text, publish=None):
        """A command, as received; its answer goes through `publish`, or else to the command topic's counterpart."""
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
        publish = self.asked_by = publish or self._publish
        result = None
        try:
            if name not in self._actions:
                raise ValueError("unknown command")
            result = self._actions[name](values)
            if hasattr(result, "send"):
                if self._running:
                    result.close()
                    raise ValueError("busy with %s, ask again later" % self._running)
                self._running = name
                self._task = asyncio.create_task(self._finish(result, answer, publish))
                return
        except ValueError as error:
            self._refuse(answer, error)
        except Exception as error:  # whoever asked would wait in vain
            self._refuse(answer, "%s %s" % (type(error).__name__, error))
        if name not in self._silent:
            self._put(answer, result, publish)

    async def _finish(self, coroutine, answer, publish):
        result = None
        try:
            result = await coroutine
        except ValueError as error:
            self._refuse(answer, error)
        except Exception as error:  # nobody else would see it, and whoever asked waits
            self._refuse(answer, "%s %s" % (type(error).__name__, error))
        finally:
            self._running = self._task = None  # it holds on to all that its coroutine needed
        self._put(answer, result, publish)

    def _refuse(self, answer, error):
        self._report("command %s: %s" % (answer["do"], error))
        answer["error"] = str(error)

    def _put(self, answer, result, publish):
        if "error" not in answer:
            answer["ok"] = True
            if result:
                answer.update(result)
        text = json.dumps(answer, separators=(",", ":"))
        if len(text) > MAX_ANSWER_BYTES:
            text = json.dumps(
                {"v": 1, "do": answer["do"], "id": answer["id"], "error": "the answer is too long"}
            )
        self._answers.append((publish, text))
        self._wake.set()

    async def answer(self):
        """Send the answers; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._answers:
                publish, text = self._answers.pop(0)
                await publish(text)
