"""The air between a virtual board and the broker: a TCP relay that fails as WiFi fails.

A board's config names the relay's port as its broker. The relay can be cut (bytes are held back and nothing is closed,
as when the access point is out of reach), refuse, delay and reset; and when a board loses its power its connections
go silent instead of closing. Used by tests and the demo, driven by `VirtualBoard.set_wifi` and `VirtualBoard.kill`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

_CHUNK = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST instead of FIN


@dataclass(eq=False)
class _Connection:
    board: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    abandoned: bool = False


class WifiRelay:
    """A relay from a free port at 127.0.0.1 (`port`) to a broker; runs in its own thread until `close`.

    delay_ms: what every piece of data takes, one way, in real milliseconds. All methods may be called from any
    thread; they return when the order has been carried out.
    """

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        delay_ms: float = 0.0,
    ) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._delay_s = delay_ms / 1000
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name=f"wifi relay {self.port}", daemon=True)
        self._thread.start()
        self._do(self._listen(listener))

    # ---- what tests and boards ask for

    @property
    def connections(self) -> int:
        """Connections alive at the moment; those of boards without power are not counted."""
        return sum(not connection.abandoned for connection in self._connections)

    def cut(self) -> None:
        """Silence: nothing passes and nothing closes; what is sent meanwhile arrives after `restore`, as TCP resends."""
        self._do(self._set_open(is_open=False))

    def restore(self) -> None:
        """The air is open again, after `cut` or `refuse`."""
        self._do(self._restore())

    def refuse(self) -> None:
        """Present connections are reset and new ones refused, as by a broker that is down."""
        self._do(self._refuse())

    def reset(self) -> None:
        """Reset the present connections; new ones are welcome."""
        self._do(self._reset())

    def abandon(self) -> None:
        """The board has lost its power: its connections never say another word, the broker has to find out."""
        self._do(self._abandon())

    def set_delay(self, ms: float) -> None:
        """From now on every piece of data takes `ms` real milliseconds, each way."""
        self._delay_s = ms / 1000

    def redirect(self, host: str, port: int) -> None:
        """New connections go to another broker."""
        self._upstream = (host, port)

    def close(self) -> None:
        """Reset everything and end the thread. Closing twice is fine."""
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the relay's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, order: Coroutine[None, None, None]) -> None:
        if not self._thread.is_alive():
            order.close()
            return
        asyncio.run_coroutine_threadsafe(order, self._loop).result(10)

    async def _listen(self, listener: socket.socket | None = None) -> None:
        listener = listener or socket.create_server(("127.0.0.1", self.port), backlog=16)
        self._server = await asyncio.start_server(self._accept, sock=listener)

    async def _set_open(self, *, is_open: bool) -> None:
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    async def _restore(self) -> None:
        self._open.set()
        if self._server is None:
            await self._listen()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for connection in list(self._connections):
            if not connection.abandoned:
                self._drop(connection)

    async def _abandon(self) -> None:
        for connection in self._connections:
            connection.abandoned = True

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            self._drop(connection)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for writer in (connection.board, connection.broker):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, from_board: asyncio.StreamReader, to_board: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            from_broker, to_broker = await asyncio.open_connection(*self._upstream)
        except OSError:
            to_board.transport.abort()
            return
        for writer in (to_board, to_broker):
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(to_board, to_broker)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pass_on(connection, from_board, to_broker),
                self._pass_on(connection, from_broker, to_board),
            )
        finally:
            self._connections.discard(connection)
            for writer in (to_board, to_broker):
                writer.transport.abort()

    async def _pass_on(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Carry one direction to its end; after `abandon` the board's direction never ends."""
        data = b"!"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._open.wait()
            if connection.abandoned:
                if writer is connection.board:
                    if data:
                        continue
                    self._drop(connection)  # the broker has given the board up
                    return
                return
            try:
                if data:
                    writer.write(data)
                    await writer.drain()
                elif writer.can_write_eof():
                    writer.write_eof()
            except OSError:
                data = b""
