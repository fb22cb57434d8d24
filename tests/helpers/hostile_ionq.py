"""A server on 127.0.0.1 that speaks IonQ's API v0.4 rightly, until it is told what to answer instead, byte by byte.

In: requests, and for a method and the beginning of a path the bytes, JSON or behaviour that is answered instead.
Out: answers of any kind; the requests that came, for a test to count. It knows nothing of the code under test: outcomes
are written down by the test, and a circuit is known by the name under which it was sent.
"""

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

Behaviour = Callable[[socket.socket], None]

SHOTS = 100


class Hostile:
    """An account with one job of some circuits. As a context manager it serves in threads.

    `tables` are the shares of each circuit's outcomes, by its number in the job.
    """

    def __init__(self, tables: list[dict[str, float]] | None = None, *, backend: str = "qpu.forte-1") -> None:
        self.tables = tables if tables is not None else [{"1": 0.25, "6": 0.75}, {"2": 1.0}, {"0": 0.5, "7": 0.5}]
        self.backend = backend
        self.requests: list[tuple[str, str]] = []
        self.headers: list[str] = []
        self.posted: list[dict[str, Any]] = []
        self.listed_by_parent = True
        self._instead: list[tuple[str, str, Any, int]] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v0.4"

    def __enter__(self) -> "Hostile":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()

    def instead(self, request: str, answer: Any, status: int = 200) -> None:
        """Answer requests that begin so, such as "GET /jobs/", with bytes, a behaviour, or anything as JSON."""
        method, _, path = request.partition(" ")
        self._instead.insert(0, (method, path, answer, status))

    def clear(self) -> None:
        """Answer rightly again."""
        self._instead.clear()

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(m == method for m, _ in self.requests)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head, body = _request(client)
            if not head:
                return
            method, target = head.split(" ", 2)[:2]
            parts = urlsplit(target)
            path = target if method == "CONNECT" else parts.path.removeprefix("/v0.4")
            query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
            self.requests.append((method, path))
            self.headers.append(head)
            if method == "POST":
                self.posted.append(json.loads(body))
            told = [
                (status, answer)
                for verb, place, answer, status in self._instead
                if verb == method and (path == place or (place.endswith("/") and path.startswith(place)))
            ]
            status, answer = told[0] if told else self.right(method, path, query)
            if callable(answer):
                answer(client)
            elif isinstance(answer, bytes):
                client.sendall(answer)
            else:
                client.sendall(reply(json.dumps(answer).encode(), status))

    def right(self, method: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Return status and content of the right answer."""
        if (method, path) == ("POST", "/jobs"):
            return 201, {"id": "job-1", "status": "ready", "session_id": None}
        if path == "/backends":
            return 200, [self.device()]
        if path == "/jobs/estimate":
            return 200, self.estimate()
        if path == "/jobs":
            jobs = [self.job()] if self.posted else []
            if "parent_job_id" in query and self.listed_by_parent:
                jobs = [self.child(n) for n in range(len(self.tables))]
            return 200, {"jobs": jobs, "next": None}
        parts = path.split("/")[2:]
        if parts[0] == "job-1" and parts[1:] == []:
            return 200, self.job()
        if parts[0] == "job-1" and parts[1:] == ["cost"]:
            return 200, {"dry_run": False, "cost": {"value": 12.5, "unit": "usd"}}
        if parts[0] == "job-1" and parts[1:] == ["results", "probabilities"]:
            return 200, {f"child-{n}": table for n, table in enumerate(self.tables)}
        if method == "PUT" and parts == ["job-1", "status", "cancel"]:
            return 200, {"id": "job-1", "status": "canceled"}
        if parts[0].startswith("child-") and int(parts[0][6:]) < len(self.tables):
            number = int(parts[0][6:])
            return 200, self.tables[number] if parts[1:] else self.child(number)
        return 404, refusal(404, "not found")

    def device(self, **changed: Any) -> dict[str, Any]:
        """Return a description of the device."""
        right = {"backend": self.backend, "status": "available", "qubits": 36, "average_queue_time": 60_000}
        return {**right, "degraded": False, "kw": 1.5, "last_updated": "2026-11-01", **changed}

    def estimate(self, **changed: Any) -> dict[str, Any]:
        """Return an estimate."""
        times = {"current_predicted_queue_time": 60_000, "estimated_execution_time": 2000}
        return {"estimated_cost": 12.5, "cost_unit": "usd", **times, **changed}

    def job(self, **changed: Any) -> dict[str, Any]:
        """Return what is said of the job."""
        sent = self.posted[0] if self.posted else {"metadata": None, "name": None}
        right = {"id": "job-1", "status": "completed", "metadata": sent["metadata"], "name": sent["name"]}
        right |= {"parent_job_id": None, "failure": None, "shots": SHOTS, "stats": {"kwh": 0.125}}
        children = [f"child-{n}" for n in range(len(self.tables))]
        return {**right, "predicted_wait_time_ms": 60_000, "child_job_ids": children, **changed}

    def child(self, number: int, **changed: Any) -> dict[str, Any]:
        """Return what is said of a circuit's job."""
        name = self.posted[0]["input"]["circuits"][number]["name"] if self.posted else str(number)
        right = {"id": f"child-{number}", "status": "completed", "metadata": None, "parent_job_id": "job-1"}
        return {**right, "name": name, "shots": SHOTS, "child_job_ids": None, **changed}


def _request(client: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return "", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    size = next((int(h[15:]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
    while len(body) < size:
        body += client.recv(65536)
    return head.decode(), body


def refusal(status: int, message: str = "no") -> dict[str, Any]:
    """Return an error in the vendor's own form."""
    return {"statusCode": status, "error": "Error", "message": message}


def reply(content: bytes, status: int = 200, *headers: str, length: int | None = None) -> bytes:
    """Return the bytes of an answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def packed(content: bytes, cut: int | None = None) -> bytes:
    """Return an answer in gzip, broken off after `cut` bytes of it."""
    return reply(gzip.compress(content)[:cut], 200, "Content-Encoding: gzip")


def reset(after: bytes = b"") -> Behaviour:
    """Return a behaviour that resets the connection after some bytes."""

    def behave(client: socket.socket) -> None:
        client.sendall(after)
        time.sleep(0.01)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def drip(pieces: Iterator[bytes], pause: float = 0.02) -> Behaviour:
    """Return a behaviour that sends piece after piece, slowly, until nobody listens."""

    def behave(client: socket.socket) -> None:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause)

    return behave


def silence(client: socket.socket) -> None:
    """Wait until nobody listens."""
    client.recv(1)


def bomb(megabytes: int) -> Behaviour:
    """Return a behaviour that answers with zeros in gzip, made while they are sent."""
    import zlib

    def behave(client: socket.socket) -> None:
        pack = zlib.compressobj(9, wbits=31)
        client.sendall(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
        for _ in range(megabytes):
            client.sendall(pack.compress(b" " * (1 << 20)))
        client.sendall(pack.flush())

    return behave
