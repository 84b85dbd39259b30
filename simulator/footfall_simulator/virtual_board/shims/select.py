# select, in virtual time; asyncio uses it too.
from _board import Poll as poll

POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16
