"""A server under silent, slow, greedy and vanishing clients, over real sockets: each is let go, the others answered."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hilbertune.use import connections
from hilbertune.use.connections import Server, SparingFilter, most_connections, server_for

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Echo:
    """An application that answers with the length of the body, or with a body of the length that the path names."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/slow":
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        wanted = scope["path"].strip("/")
        body = b"." * int(wanted) if wanted.isdigit() else json.dumps({"bytes": size}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Served:
    """A server in a thread of this process."""

    def __init__(self, headers: float, seconds: float) -> None:
        self.app = Echo()
        self.server: Server = server_for(self.app, "127.0.0.1", 0, headers=headers, seconds=seconds)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)
        self.address = self.server.servers[0].sockets[0].getsockname()
        self.clients: list[socket.socket] = []

    def client(self, first: bytes = b"") -> socket.socket:
        one = socket.create_connection(self.address, timeout=5)
        self.clients.append(one)
        one.sendall(first)
        return one

    def stop(self) -> None:
        self.server.should_exit = True
        for one in self.clients:
            one.close()
        self.thread.join()


def said(client: socket.socket) -> bytes:
    """Return what a client reads until the connection is closed, however it is."""
    whole = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(1 << 16):
            whole += part
    return whole


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "descriptors", lambda: 64)
        one = Served(headers=0.2, seconds=0.3)
        yield one
        one.stop()


@pytest.mark.parametrize("descriptors", [1, 2, 20, 64, 256, 1024, 4096, 1 << 20])
def test_fewer_connections_than_descriptors(descriptors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "descriptors", lambda: descriptors)
    assert 1 <= most_connections() <= max(1, descriptors - descriptors // 4)


def test_the_descriptors_are_those_of_this_process() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        assert (connections.descriptors(), most_connections()) == (200, 150)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silent_clients_make_room_and_the_longest_silent_one_goes_first(served: Served) -> None:
    silent = [served.client() for _ in range(3 * 48)]
    assert b"200 OK" in served.client(GET).recv(1000)
    assert said(silent[0]) == b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    assert len(served.server.server_state.connections) <= 48


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nX: ", POST + b"Content-Length: 500\r\n\r\n"])
def test_headers_and_bodies_have_a_deadline_however_steadily_they_drip(served: Served, first: bytes) -> None:
    slow = served.client(first)
    dripping = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not dripping.wait(0.02):
                slow.sendall(b"a")

    thread = threading.Thread(target=drip)
    thread.start()
    answer = said(slow)
    dripping.set()
    thread.join()
    assert answer.startswith(b"HTTP/1.1 408") or not answer  # the word may be lost with what dripped after it
    assert b"200 OK" in served.client(GET).recv(1000)


def test_a_silent_client_of_a_second_request_is_told(served: Served) -> None:
    client = served.client(GET)
    assert b"200 OK" in client.recv(1000)
    client.sendall(b"GET / HT")
    assert b"HTTP/1.1 408" in said(client)


def test_chunks_are_put_together_and_tiny_ones_refused(served: Served) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    some = b"".join(b"%x\r\n%s\r\n" % (size, b"." * size) for size in (1, 5, 300, 70_000)) + b"0\r\n\r\n"
    client = served.client(chunked + some)
    client.shutdown(socket.SHUT_WR)
    assert b'{"bytes": 70306}' in said(client)
    tiny = served.client(chunked)
    with contextlib.suppress(ConnectionError):
        tiny.sendall(b"1\r\n.\r\n" * 100_000)
    assert b"200 OK" not in said(tiny)
    assert b"200 OK" in served.client(GET).recv(1000)


def test_answers_that_nobody_reads_are_given_up(served: Served) -> None:
    lazy = served.client()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(b"GET /20000000 HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    seen = False
    for _ in range(500):
        there = any(one.client == lazy.getsockname() for one in list(served.server.server_state.connections))
        if seen and not there:
            return
        seen |= there
        time.sleep(0.01)
    pytest.fail("the connection stays open")


def test_many_requests_at_once_on_one_connection_and_the_old_protocol(served: Served) -> None:
    client = served.client(GET * 50 + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said(client).count(b"200 OK") == 51
    assert b"200 OK" in said(served.client(b"GET / HTTP/1.0\r\n\r\n"))


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000,
        b"\x16\x03\x01" * 30 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(served: Served, request_: bytes) -> None:
    assert said(served.client(request_)).startswith(b"HTTP/1.1 4")


def test_nothing_is_done_for_a_client_that_is_gone(served: Served) -> None:
    client = served.client(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.05)
    client.close()
    assert served.app.cancelled.wait(5)


def test_a_server_that_stops_answers_what_it_has_begun_and_takes_nothing_new() -> None:
    one = Served(headers=5, seconds=5)
    busy, idle, begun = one.client(POST + b"Content-Length: 4\r\n\r\nab"), one.client(), one.client(b"GET / HT")
    time.sleep(0.1)
    one.server.should_exit = True
    assert (said(idle), said(begun)) == (b"", b"")
    with pytest.raises(ConnectionError):
        socket.create_connection(one.address, timeout=5)
    busy.sendall(b"cd")
    assert b'{"bytes": 4}' in said(busy)
    one.stop()


def test_a_log_does_not_repeat_itself(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1.0]
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now[0]))
    logger = logging.getLogger("tests.sparing")
    sparing = SparingFilter(seconds=60.0)
    logger.addFilter(sparing)
    for _ in range(1000):
        logger.error("no descriptors are left")
    logger.error("another error")
    now[0] += 61.0
    logger.error("no descriptors are left")
    assert [record.getMessage() for record in caplog.records] == [
        "no descriptors are left",
        "another error",
        "no descriptors are left (and 999 times since this was last said)",
    ]
