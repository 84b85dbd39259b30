# asyncio's TaskQueue and Task in virtual time: stands in for the built-in _asyncio, which reads the real clock.
# A queue is a chain sorted by time: with a board's dozen tasks that is as quick as a heap, and small.
import sys
from time import ticks_diff

_modules = sys.modules


class TaskQueue:
    def __init__(self):
        self._first = None

    def peek(self):
        return self._first

    def push(self, task, key=None):
        task.data = None
        task.ph_key = key = _modules["asyncio.core"].ticks() if key is None else key
        before = None
        after = self._first
        while (
            after is not None and ticks_diff(after.ph_key, key) <= 0
        ):  # equal times: first come, first served
            before = after
            after = after.following
        task.following = after
        if before is None:
            self._first = task
        else:
            before.following = task

    def pop(self):
        task = self._first
        self._first = task.following
        task.following = None
        return task

    def remove(self, task):
        if task is self._first:
            self.pop()
            return
        before = self._first
        while before.following is not task:
            before = before.following
        before.following = task.following
        task.following = None


class Task:
    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None  # the queue or task that this one waits for; an exception to throw; the result
        self.state = (
            True  # True running; a TaskQueue: others wait for its end; None ended; False ended and noticed
        )
        self.ph_key = 0  # asyncio.core reads the time to run at under this name
        self.following = None

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif type(self.state) is not TaskQueue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        waiting = _modules["asyncio.core"].cur_task
        self.state.push(waiting)
        waiting.data = self

    def done(self):
        return not self.state

    def cancel(self):
        core = _modules["asyncio.core"]
        if not self.state:
            return False
        if self is core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        if hasattr(task.data, "remove"):  # it waits in another queue
            task.data.remove(task)
            core._task_queue.push(task)
        elif ticks_diff(task.ph_key, core.ticks()) > 0:  # it sleeps
            core._task_queue.remove(task)
            core._task_queue.push(task)
        task.data = core.CancelledError
        return True
