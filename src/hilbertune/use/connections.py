"""The connections of a server: fewer than the process has descriptors, and none kept by a silent or slow client.

In: an ASGI application and an address. uvicorn and h11 speak HTTP; this adds what they leave to a proxy.
Out: a server in which each client has a deadline whenever it is its turn to send or to read, and in which the client
    that has been waited for longest makes room for the next one. Told to stop, it answers what it has begun.
"""

import asyncio
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

READ_BYTES = 1 << 14
"""Bytes that are read from a connection before the others have their turn."""

FRAMING_BYTES = 1 << 14
"""Bytes that the chunks of a body may cost besides as many as the body has: each chunk takes time, however small."""

HEADER_BYTES = 1 << 15
"""Bytes of a request's headers."""

MOST = 4096
"""Connections at once, however many descriptors there are."""

_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CHOPPED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def descriptors() -> int:
    """Return how many files and connections this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if most == resource.RLIM_INFINITY else most


def most_connections() -> int:
    """Return how many connections may be open: three quarters of the descriptors; files and arrivals have the rest."""
    return max(1, min(MOST, descriptors() * 3 // 4))


class Room:
    """The open connections, and in the order of their waiting those whose client has the turn.

    A request's headers may take `headers` seconds after the connection or the answer before it, its whole body `turn`
    seconds, and so may the reading of an answer.
    """

    def __init__(self, most: int, *, headers: float, turn: float) -> None:
        self.most, self.headers, self.turn = most, headers, turn
        self.buffer = bytearray(READ_BYTES)
        self.open: set[Connection] = set()
        # With the moment until which each is waited for.
        self.waiting: dict[Connection, float] = {}
        self._looks = False

    def enter(self, connection: "Connection") -> None:
        """Take in a new connection, in the place of the one that has been waited for longest if there is no other."""
        self.open.add(connection)
        if not self._looks:
            self._looks = True
            self._look_later(connection.loop)
        if len(self.open) > self.most:
            next(iter(self.waiting), connection).drop(_FULL)

    def leave(self, connection: "Connection") -> None:
        """Forget a connection."""
        self.open.discard(connection)
        self.waiting.pop(connection, None)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for clients that are late as long as there are any: one timer for all costs less than one for each."""
        loop.call_later(min(1.0, self.headers / 4, self.turn / 4), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [one for one, until in self.waiting.items() if until < now]:
            connection.give_up()
        self._looks = bool(self.open)
        if self._looks:
            self._look_later(loop)


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """One connection: uvicorn's protocol with deadlines for its client."""

    app: Any  # uvicorn hands each request to it

    def __init__(self, room: Room, **given: Any) -> None:
        super().__init__(**given)
        self._room, self._answer_to, self.app = room, self.app, self._answer
        self._task: asyncio.Task[Any] | None = None
        # Bytes that came since the last request began or was answered, and those of its body that were taken.
        self._came, self._taken = 0, 0
        # True while more of an answer is held here than the client should let wait.
        self._unread = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._room.enter(self)
        if not transport.is_closing():
            self._wait(self._room.headers)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop working for a client that is gone."""
        super().connection_lost(error)
        self._room.leave(self)
        if self._task is not None:
            self._task.cancel()

    def get_buffer(self, _hint: int) -> memoryview:
        """Return where the next bytes are read to; they are used before another connection reads."""
        return memoryview(self._room.buffer)

    def buffer_updated(self, count: int) -> None:
        """Read a part of a request; a body in tiny chunks is refused: their number costs more than their bytes."""
        self._came += count
        if self._task is not None and self._came > FRAMING_BYTES + READ_BYTES + 2 * self._taken:
            self.drop(_CHOPPED)
            return
        self.data_received(bytes(self._room.buffer[:count]))

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answers."""
        super().pause_writing()
        self._unread = True
        self._wait(self._room.turn)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self._unread = False
        if self._task is not None:
            self._stop_waiting()

    def drop(self, last: bytes = b"") -> None:
        """Close the connection at once, with a last word where nothing else is on its way to the client."""
        self._room.leave(self)
        if last and not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self.transport.write(last)
            self.transport.close()
        if self.transport.get_write_buffer_size() or not self.transport.is_closing():
            self.transport.abort()

    def give_up(self) -> None:
        """Close the connection of a client that is late; one that has begun to ask is told why."""
        begun = self._came > 0 if self._task is None else not self.cycle.response_started
        self.drop(_LATE if begun else b"")

    async def _answer(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request; the client has the turn until its body is there, and when the answer is."""
        own = self._task = asyncio.current_task()
        self._came = self._taken = 0
        self._wait(self._room.turn)

        async def read() -> dict[str, Any]:
            message = await receive()
            self._taken += len(message.get("body", b""))
            # The answer waits for a client that has not read the one before.
            if not message.get("more_body") and not self._unread:
                self._stop_waiting()
            return message

        try:
            await self._answer_to(scope, read, send)
        except asyncio.CancelledError:
            if self in self._room.open:
                raise
        finally:
            if self._task is own:
                self._task, self._came = None, 0
                if self in self._room.open:
                    self._wait(self._room.turn if self.transport.get_write_buffer_size() else self._room.headers)

    def _wait(self, seconds: float) -> None:
        """Give the client that many seconds from now."""
        self._stop_waiting()  # so that the order is that of waiting
        self._room.waiting[self] = self.loop.time() + seconds

    def _stop_waiting(self) -> None:
        self._room.waiting.pop(self, None)


class SparingFilter(logging.Filter):
    """A filter that passes the same warning or error once in so many seconds, and then says how many it held back."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._held: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a message that has passed a short time ago."""
        if record.levelno < logging.WARNING:
            return True
        now, key = time.monotonic(), str(record.msg)
        until, count = self._held.get(key, (0.0, 0))
        if now < until:
            self._held[key] = until, count + 1
            return False
        if len(self._held) > 100:
            self._held.clear()
        self._held[key] = now + self.seconds, 0
        if count:
            record.msg = f"{key.rstrip()} (and {count} times since this was last said)"
        return True


class Server(uvicorn.Server):
    """A server that lets many arrivals wait in the kernel, but takes in few at a time, so that they can be counted."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; `listen` once more changes the length of the queue, but not how many are taken in at a time."""
        await super().startup(sockets)
        for server in self.servers:
            for one in server.sockets:
                with one.dup() as listening:
                    listening.listen(1024)


def server_for(app: Any, host: str, port: int, *, headers: float, seconds: float) -> Server:
    """Return a server that is not running yet.

    Args:
        app: an ASGI application.
        host: the address to listen on.
        port: the port, 0 for any that is free.
        headers: seconds for the headers of a request.
        seconds: those for its body, for the reading of an answer, and for all requests when the server is to stop.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(Connection, Room(most_connections(), headers=headers, turn=seconds)),
        # uvloop takes in as many connections as there are.
        loop="asyncio",
        ws="none",
        log_level="info",
        backlog=max(1, min(128, descriptors() // 32)),
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=math.ceil(seconds),
    )
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.filters = [one for one in logger.filters if not isinstance(one, SparingFilter)]
        logger.addFilter(SparingFilter())
    return Server(config)


def run(app: Any, host: str, port: int, *, headers: float, seconds: float) -> None:
    """Serve until SIGTERM or SIGINT; what has begun by then is answered, within `seconds`. See `server_for`.

    Raises:
        SystemExit: the address cannot be listened on; uvicorn has said why.
    """
    server = server_for(app, host, port, headers=headers, seconds=seconds)
    if threading.current_thread() is not threading.main_thread():
        server.run()
        return
    # uvicorn raises the signal again when it is done; a server that was told to stop has done well.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    finally:
        signal.signal(signal.SIGTERM, before)
