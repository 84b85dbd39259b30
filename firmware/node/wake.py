"""A flag that one task waits for, but not for ever. Most tasks of the node sleep on one, or on an asyncio.Event where there is no limit.

asyncio.wait_for would make a second task for every such wait, 800 bytes of heap each; this moves the one that sleeps to now.
"""

from asyncio import core, sleep_ms  # type: ignore[attr-defined]  # core: the stubs do not know it


class Wake:
    """Set by whoever has news, cleared by the task that waits."""

    def __init__(self):
        self._is_set = False
        self._sleeper = None

    def set(self):
        """There is news."""
        self._is_set = True
        task, self._sleeper = self._sleeper, None
        if task:
            core._task_queue.remove(task)  # noqa: SLF001 - as asyncio's own Task.cancel does
            core._task_queue.push(task)  # noqa: SLF001

    def clear(self):
        """It has been seen."""
        self._is_set = False

    async def within(self, ms):
        """Wait until it is set, at most so long; whether it is."""
        if not self._is_set:
            self._sleeper = core.cur_task
            try:
                await sleep_ms(ms)
            finally:
                self._sleeper = None
        return self._is_set
