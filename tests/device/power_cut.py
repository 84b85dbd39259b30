"""Power cuts at every single write, for code that runs on the real MicroPython: text to put before it.

    power.left = n      after n writes, flushes, renames, deletions and new folders more, the power goes
    module.open, module.os = File, Os()     for each module of the firmware that writes

The cut is a BaseException that no code of the firmware catches. What was not flushed is gone, of the flush that is cut half is there.
"""

POWER = """
import builtins, os

class Cut(BaseException):
    pass

class Power:
    left = None  # it stays on
    def use(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Cut()
power = Power()

class File:
    def __init__(self, name, mode="r"):
        self.mode = mode
        if "r" not in mode:
            power.use()
        self.file = builtins.open(name, mode)
        self.waiting = b""
    def write(self, data):
        self.waiting += data if isinstance(data, (bytes, bytearray)) else data.encode()
    def through(self, n):
        self.file.write(self.waiting[:n] if "b" in self.mode else self.waiting[:n].decode())
        self.file.flush()
        self.waiting = b""
    def flush(self):
        try:
            power.use()
        except Cut:
            self.through(len(self.waiting) // 2)
            raise
        self.through(len(self.waiting))
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()  # the firmware must not count on a close to flush

class Os:
    def __getattr__(self, name):
        def call(*args):
            if name in ("remove", "rename", "mkdir", "rmdir"):
                power.use()
            return getattr(os, name)(*args)
        return call
"""
