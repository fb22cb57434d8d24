"""One request and its answer over HTTP, limited in time and in size, and never repeated here.

In: an address, a key, a path with its query or body, seconds. `httpcore` carries it, on a connection of its own,
through a stream that knows when the time is up and whether anything of the request has left this machine.
Out: an `Answer`, or an error that says which of the three it is: not sent, perhaps carried out, or never readable.
"""

import email.utils
import json
import math
import queue
import socket
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from hilbertune import __version__
from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.address import Address
from hilbertune.hardware.provider import LostAnswerError, Say

LARGEST = 16 << 20
"""The most bytes of an answer, unpacked, unless a request allows more."""

_BYTES = 16
"""The bytes of its limit for which an answer may have a part, so that many small parts do not fill the memory."""

CONNECTING, SILENCE = 10.0, 3.0
"""Seconds for a connection, and after which a request that is not answered is spoken of."""

_LONGEST = 10_000_000.0
"""Seconds; what asks for a longer wait is taken as asking for this."""

_ADDRESSES, _RECOGNISABLE = 4, 8
"""The most addresses of a host that are tried, and the characters of a key that cannot be mistaken for content."""


class UnsentError(HilbertuneError):
    """A request of which nothing has left this machine."""


class UnreadableError(LostAnswerError):
    """An answer that asking again will not mend: too long, nested too deeply, or from another place."""


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    `retry_after` are the seconds that it asks to wait, if it says so in a way that makes sense; `parts` is the most
    fields and elements that it may have.
    """

    call: str
    status: int
    retry_after: float | None
    text: bytes
    parts: int = LARGEST // _BYTES

    def json(self) -> Any:
        """Return its content; numbers may be NaN or infinite, and whoever reads them must say what they may be.

        Raises:
            LostAnswerError: it is cut off, not JSON, or ambiguous.
        """
        if sum(self.text.count(mark) for mark in (b",", b":", b"[", b"{")) > self.parts:
            raise UnreadableError(f"IonQ's answer to {self.call} has too many parts")
        try:
            return json.loads(self.text.decode(), object_pairs_hook=_unambiguous, parse_int=_whole)
        except RecursionError:
            raise UnreadableError(f"IonQ's answer to {self.call} is nested too deeply") from None
        except ValueError:
            raise LostAnswerError(f"IonQ's answer to {self.call} is cut off or not JSON") from None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


def _whole(digits: str) -> float:
    """Return an integer; one of more digits than anything here has counts as infinite."""
    return int(digits) if len(digits) < 40 else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


class Wire:
    """The way to an API. It keeps no connection and no state, follows no redirect, and repeats nothing.

    Args:
        address: of the API.
        key: of the account; it goes to this address only, and into no error.
        say: called with a sentence when an answer is long in coming.

    Raises:
        MissingExtraError: the extra `qpu` is not installed.
    """

    def __init__(self, address: Address, key: str, say: Say) -> None:
        self._core: Any = require("httpcore", "qpu")
        self.address, self._key, self._say = address, key, say
        self._encryption: Any = None
        if address.scheme == "https":
            import ssl

            self._encryption = ssl.create_default_context()
            self._encryption.load_verify_locations(require("certifi", "qpu").where())

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        seconds: float,
        largest: int = LARGEST,
    ) -> Answer:
        """Make one request and return its whole answer, whatever its status.

        Args:
            method: of HTTP.
            path: below the address.
            query: parameters.
            body: what is sent as JSON.
            seconds: for everything, from the name's look-up to the last byte.
            largest: the most bytes of the answer.

        Raises:
            UnsentError: nothing was sent.
            LostAnswerError: it may have been carried out.
        """
        call = f"{method} {path}"
        target = self.address.path + quote(path) + (f"?{urlencode(query)}" if query else "")
        network = _Network(self._core, time.monotonic() + seconds, encrypted=self._encryption is not None)
        headers = [
            ("Host", self.address.authority),
            ("Authorization", f"apiKey {self._key}"),
            ("User-Agent", f"hilbertune/{__version__}"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            ("Connection", "close"),
        ]
        content = b""
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        url = self._core.URL(
            scheme=self.address.scheme, host=self.address.host, port=self.address.port, target=target.encode()
        )
        try:
            with (
                self._spoken(call, seconds),
                self._pool(network) as pool,
                pool.stream(method, url, headers=headers, content=content or None) as response,
            ):
                said = {name.lower(): value.decode("latin-1").strip() for name, value in reversed(response.headers)}
                text = _unpacked(response.iter_stream(), said.get(b"content-encoding", ""), largest, call)
                # A server that repeats the key must not get it printed.
                if len(self._key) >= _RECOGNISABLE:
                    text = text.replace(self._key.encode(), b"***")
                return Answer(call, response.status, _seconds(said.get(b"retry-after")), text, largest // _BYTES)
        except HilbertuneError:
            raise
        except Exception as error:  # whatever a network does: the request may have been carried out, if it left
            raise self._fault(error, network, call, seconds) from None

    def _fault(self, error: Exception, network: "_Network", call: str, seconds: float) -> HilbertuneError:
        """Return what a broken exchange means."""
        late = isinstance(error, self._core.TimeoutException)
        if isinstance(error, self._core.ProxyError):
            return UnsentError(f"The network's proxy does not connect to {self.address.host}")
        if not network.sent:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return UnsentError(f"{self.address.host} cannot prove that it is {self.address.host} (its certificate)")
            why = f"no connection in {min(seconds, CONNECTING):.0f} s" if late else network.trouble
            return UnsentError(f"{self.address.host} cannot be reached ({why})")
        if late:
            return LostAnswerError(f"{self.address.host} has not answered {call} in {seconds:.3g} s")
        return LostAnswerError(f"The connection to {self.address.host} broke before the answer to {call} was there")

    @contextmanager
    def _spoken(self, call: str, seconds: float) -> Iterator[None]:
        """Say a word if a request takes long."""
        sentence = f"Waiting for {self.address.host} to answer {call}, for up to {seconds:.0f} s."
        timer = threading.Timer(SILENCE, self._say, [sentence])
        timer.daemon = True
        if seconds > SILENCE:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _pool(self, network: "_Network") -> Any:
        """Return what connects, by the environment's proxy where there is one."""
        own = {"ssl_context": self._encryption, "network_backend": network, "max_keepalive_connections": 0}
        host = self.address.host
        if self.address.local or self.address.scheme != "https" or urllib.request.proxy_bypass(host):
            return self._core.ConnectionPool(**own)
        known = urllib.request.getproxies()
        proxy = known.get("https") or known.get("all")
        if not proxy:
            return self._core.ConnectionPool(**own)
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            port = parts.port or 8080
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme != "http" or not parts.hostname:
            raise HilbertuneError("HTTPS_PROXY names no proxy that can be used: write it as http://HOST:PORT.")
        user = (parts.username or "", parts.password or "") if parts.username else None
        return self._core.HTTPProxy(f"http://{parts.hostname}:{port}", proxy_auth=user, **own)


class _Network:
    """A network of httpcore's kind that keeps one deadline and knows whether anything of the request was sent."""

    def __init__(self, core: Any, deadline: float, *, encrypted: bool) -> None:
        self.core, self.deadline, self.encrypted = core, deadline, encrypted
        self.sent = False
        self.trouble = "no connection"

    def left(self, most: float = math.inf) -> float:
        """Return the seconds that are left, at most `most`."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.core.ReadTimeout("the time is up")
        return min(left, most)

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> "_Stream":
        """Connect to the first address of the host that answers."""
        give_up = min(self.deadline, time.monotonic() + CONNECTING)
        error: Exception = self.core.ConnectError("no address")
        for address in self._addresses(host, port):
            left = give_up - time.monotonic()
            if left <= 0:
                raise self.core.ConnectTimeout("no connection")
            try:
                return _Stream(
                    self, self.core.SyncBackend().connect_tcp(address, port, timeout=left), not self.encrypted
                )
            except (self.core.ConnectError, self.core.ConnectTimeout) as fault:
                error = fault
                self.trouble = "the connection is refused" if "refused" in str(fault) else "no connection"
        raise error

    def _addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a name; the system's look-up knows no time limit, so a thread waits for it."""
        answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

        def look() -> None:
            try:
                known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put(list(dict.fromkeys(str(address[4][0]) for address in known))[:_ADDRESSES])
            except (OSError, UnicodeError):
                answers.put([])

        threading.Thread(target=look, daemon=True).start()
        self.trouble = "its name is not known; is there a network"
        try:
            return answers.get(timeout=self.left(CONNECTING))
        except queue.Empty:
            raise self.core.ConnectTimeout("the name is not looked up") from None


class _Stream:
    """A connection that never waits past the deadline."""

    def __init__(self, network: _Network, inner: Any, carries_requests: bool) -> None:
        self._network, self._inner, self._carries = network, inner, carries_requests

    def read(self, max_bytes: int, **_: Any) -> bytes:
        """Return what has come in."""
        data: bytes = self._inner.read(max_bytes, timeout=self._network.left())
        return data

    def write(self, buffer: bytes, **_: Any) -> None:
        """Send, in pieces, so that a peer that takes a byte a second meets the deadline."""
        for start in range(0, len(buffer), 1 << 16):
            left = self._network.left()
            self._network.sent |= self._carries  # what a proxy is told before the encryption is no request
            self._inner.write(buffer[start : start + (1 << 16)], timeout=left)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, **_: Any) -> "_Stream":
        """Return the encrypted connection."""
        self._network.trouble = "no encrypted connection"
        left = self._network.left(CONNECTING)
        return _Stream(self._network, self._inner.start_tls(ssl_context, server_hostname, timeout=left), True)

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks about."""
        return self._inner.get_extra_info(info)


def _unpacked(pieces: Iterable[bytes], encoding: str, largest: int, call: str) -> bytes:
    """Return the content of an answer; a small one that unpacks to gigabytes never takes more than `largest` bytes.

    Raises:
        LostAnswerError: it is broken, or packed in a way that nobody asked for.
    """
    packed = encoding.lower() not in ("", "identity")
    if packed and encoding.lower() not in ("gzip", "x-gzip"):
        raise UnreadableError(f"IonQ's answer to {call} is packed in a way that nobody asked for")
    text, unpack = bytearray(), zlib.decompressobj(wbits=31)
    for piece in pieces:
        if packed:
            try:
                piece = unpack.decompress(piece, largest + 1 - len(text))
            except zlib.error:
                raise LostAnswerError(f"IonQ's packed answer to {call} is broken") from None
        text += piece
        if len(text) > largest:
            raise UnreadableError(f"IonQ's answer to {call} is longer than {largest / (1 << 20):.0f} MB")
    if packed and not unpack.eof:
        raise LostAnswerError(f"IonQ's packed answer to {call} is cut off")
    return bytes(text)


def _seconds(header: str | None) -> float | None:
    """Return what a Retry-After asks for, in seconds or as a date; None if it makes no sense."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
            seconds = max(seconds, 0.0)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(seconds, _LONGEST) if math.isfinite(seconds) and seconds >= 0 else None
