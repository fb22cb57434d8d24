"""Addresses and keys that cannot be used are refused at once, by one sentence, and nothing is asked."""

import socket
from typing import Any

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.hardware.address import IONQ, checked_address, checked_key
from hilbertune.hardware.ionq import IonQ

GOOD = {
    IONQ: ("https", "api.ionq.co", 443, "/v0.4"),
    "https://api.ionq.co/v0.4/": ("https", "api.ionq.co", 443, "/v0.4"),
    "HTTPS://API.IONQ.CO": ("https", "api.ionq.co", 443, ""),
    "https://gateway.example:8443/ionq/v0.4": ("https", "gateway.example", 8443, "/ionq/v0.4"),
    "https://10.1.2.3/v0.4": ("https", "10.1.2.3", 443, "/v0.4"),
    "http://127.0.0.1:8000/v0.4": ("http", "127.0.0.1", 8000, "/v0.4"),
    "http://127.5.4.3/v0.4": ("http", "127.5.4.3", 80, "/v0.4"),
    "http://localhost:8000": ("http", "localhost", 8000, ""),
    "http://LOCALHOST:8000": ("http", "localhost", 8000, ""),
    "http://[::1]:8000/v0.4": ("http", "::1", 8000, "/v0.4"),
}

IN_THE_CLEAR = [
    "http://example.com/v0.4",
    "http://localhost.evil.example/v0.4",
    "http://127.0.0.1.evil.example/v0.4",
    "http://127.1/v0.4",
    "http://2130706433/v0.4",
    "http://0x7f000001/v0.4",
    "http://0177.0.0.1/v0.4",
    "http://0.0.0.0/v0.4",
    "http://[::]/v0.4",
    "http://[2001:db8::1]/v0.4",
    "http://localhost-evil.example",
    "http://evil-localhost",
    "http://api.ionq.co/v0.4",
    "http://128.0.0.1",
]

IMPOSSIBLE = [
    "ftp://api.ionq.co/v0.4",
    "file:///etc/passwd",
    "api.ionq.co/v0.4",
    "//api.ionq.co/v0.4",
    "https:api.ionq.co",
    "https://",
    "https:///v0.4",
    "https://:443/v0.4",
    "https://api.ionq.co:0",
    "https://api.ionq.co:99999",
    "https://api.ionq.co:-1",
    "https://api.ionq.co:port",
    "https://user@api.ionq.co/v0.4",
    "http://127.0.0.1@evil.example/v0.4",
    "http://localhost:80@evil.example/v0.4",
    "https://user:password@api.ionq.co",
    "https://@api.ionq.co",
    "https://api.ionq.co/v0.4?key=1",
    "https://api.ionq.co/v0.4#top",
    "http://localhost%2eevil.example",
    "http://localhost%00.evil.example",
    "http://localhost\\@evil.example",
    "http:\\\\localhost",
    "http://evil.example\\.localhost",
    "https://api ionq.co",
    " https://api.ionq.co",
    "https://api.ionq.co\n",
    "https://api.\tionq.co",
    "https://äpi.ionq.co",
    "https://api.ionq.co/v0.4/ü",
    "https://.ionq.co",
    "https://api..ionq.co",
    "https://-api.ionq.co",
    "https://" + "a" * 64 + ".co",
    "https://" + "a.b" * 100,
    "https://[::1",
    "https://[::1%25eth0]",
    "https://[v1.x]",
    "https://[127.0.0.1]",
    "https://api.ionq.co\udcff",
    "javascript:alert(1)",
    " ",
    "\x00",
    "https://" + "a" * 3000,
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_taken_apart(text: str) -> None:
    address = checked_address(text)
    assert (address.scheme, address.host, address.port, address.path) == GOOD[text]
    assert checked_address(str(address)) == address


@pytest.mark.parametrize("text", IN_THE_CLEAR)
def test_a_key_travels_in_the_clear_to_this_machine_only(text: str) -> None:
    with pytest.raises(HilbertuneError, match="not encrypted"):
        checked_address(text)
    assert checked_address(text.replace("http:", "https:")).scheme == "https"


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_an_address_that_cannot_be_one_is_refused_before_anything_is_asked(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONQ_API_KEY", "a-good-key")

    def nothing(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    monkeypatch.setattr(socket, "create_connection", nothing)
    with pytest.raises(HilbertuneError) as caught:
        IonQ("simulator", url=text)
    assert "password" not in text or "user:password" not in str(caught.value)
    assert str(caught.value).isprintable()
    if "\x00" not in text and "\udcff" not in text:
        monkeypatch.setenv("IONQ_API_URL", text)
        with pytest.raises(HilbertuneError, match="IONQ_API_URL"):
            IonQ("simulator")


KEYS = {
    "   ": "blank",
    "\n": "blank",
    "secret\n": "line break",
    "\nsecret": "line break",
    "secret\r\nHost: evil.example": "line break",
    " secret": "begins or ends",
    "'secret'": "quotation",
    '"secret': "quotation",
    "secret'": "quotation",
    "schlüssel-secret": "character",
    "sec ret": "character",
    "secret\x7f": "character",
    "secret\x1b[31m!": "character",
    "sec\tret": "character",
    "secret\udcff": "character",
    "sécret": "character",
    "secret" * 1000: "longer",
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HilbertuneError, match=KEYS[key]) as caught:
        checked_key(key, "the keyring")
    assert "secret" not in str(caught.value)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    monkeypatch.setenv("IONQ_API_KEY", key)
    monkeypatch.delenv("IONQ_API_URL", raising=False)
    with pytest.raises(HilbertuneError, match="IONQ_API_KEY"):
        IonQ("simulator")


def test_good_keys_are_good() -> None:
    for key in ("1", "test-key", "aB3$%&/()=?+*~#_.:;<>|", "x" * 1000):
        assert checked_key(key, "here") == key
