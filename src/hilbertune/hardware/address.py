"""The address of a vendor's API and the key of an account: certain to be usable, or refused before anything is asked.

In: an address and a key, as the environment, the keyring or an argument gives them.
Out: an `Address` and a key that may be sent there; no error repeats a key, or an address that may hold one.
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from hilbertune.errors import HilbertuneError

IONQ = "https://api.ionq.co/v0.4"

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_KEY = 1_000


@dataclass(frozen=True)
class Address:
    """The parsed address of an API; plain HTTP is for this machine alone."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        """Return the address as it is written."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host as a request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def local(self) -> bool:
        """True if the host is this machine: localhost, or a loopback address written in full."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def checked_address(text: str, source: str = "IONQ_API_URL") -> Address:
    """Return the parts of an address.

    Raises:
        HilbertuneError: it is no address of an API, or the key would travel to another machine in the clear.
    """
    wanted = f"such as {IONQ}"
    if not re.fullmatch(r"[\x21-\x7e]{1,2000}", text) or re.search(r'[\\"<>^`{|}%]', text):
        raise HilbertuneError(f"{source} has a character that no address has: write one {wanted}.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise HilbertuneError(f"{source} is no address (host or port are impossible): write one {wanted}.") from None
    if parts.scheme not in ("https", "http"):
        raise HilbertuneError(f"{source} must begin with https://: write one {wanted}.")
    if "@" in parts.netloc:
        raise HilbertuneError(f"{source} names a user or a password: leave them out, and write one {wanted}.")
    if parts.query or parts.fragment:
        raise HilbertuneError(f"{source} has a '?' or '#': write an address without them, {wanted}.")
    host = parts.hostname or ""
    if not _is_host(host, bracketed="[" in parts.netloc) or port == 0:
        raise HilbertuneError(f"{source} names no possible host and port: write an address {wanted}.")
    address = Address(parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], parts.path.rstrip("/"))
    if parts.scheme == "http" and not address.local:
        raise HilbertuneError(f"{address} is not encrypted: the key would travel in the clear; use https.")
    return address


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        try:
            return ipaddress.ip_address(host).version == 6
        except ValueError:
            return False
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def checked_key(key: str, source: str) -> str:
    """Return a key that a header can carry.

    Raises:
        HilbertuneError: it is blank, quoted, or has a character that no key has; the sentence does not repeat it.
    """
    if not key.strip():
        wrong = "is blank"
    elif key[0] in "'\"" or key[-1] in "'\"":
        wrong = "is in quotation marks"
    elif key != key.strip() or "\n" in key or "\r" in key:
        wrong = "begins or ends with a blank, or has a line break"
    elif not re.fullmatch(r"[\x21-\x7e]+", key):
        wrong = "has a blank or a character that no key has"
    elif len(key) > _LONGEST_KEY:
        wrong = f"is longer than {_LONGEST_KEY:,} characters"
    else:
        return key
    raise HilbertuneError(f"The key for IonQ in {source} {wrong}: set it to the key as IonQ shows it.")


class NoKeyError(HilbertuneError):
    """The absence of a key."""


def ionq_key() -> str:
    """Return the key of the account: $IONQ_API_KEY, else the keyring's entry hilbertune / ionq.

    Raises:
        HilbertuneError: there is none, or it cannot be a key.
    """
    if key := os.environ.get("IONQ_API_KEY"):
        return checked_key(key, "IONQ_API_KEY")
    try:
        import keyring

        key = keyring.get_password("hilbertune", "ionq")
    except Exception:  # no keyring on this machine
        key = None
    if not key:
        raise NoKeyError("There is no key for IonQ: set IONQ_API_KEY, or run 'keyring set hilbertune ionq'.")
    return checked_key(str(key), "the keyring")
