"""A small Hugging Face hub on this machine: it takes repositories and commits, and refuses whom it is told to.

In: requests of huggingface_hub.
Out: the files of each repository, and the tokens that came.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Hub:
    """What the server has been given."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.refuse: str | None = None

    def answer(self, path: str, content: bytes) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer to a POST."""
        if self.refuse is not None:
            return 403, {"error": self.refuse}
        if path == "/api/repos/create":
            self.created.append(json.loads(content))
            return 200, {"url": f"{self.address}/me/model", "id": "1"}
        if path.startswith("/api/models/me/model/preupload/"):
            files = json.loads(content)["files"]
            return 200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if path.startswith("/api/models/me/model/commit/"):
            for line in content.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            return 200, {"commitUrl": f"{self.address}/me/model/commit/1", "commitOid": "1", "success": True}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        return 404, {"error": f"no {path}"}


@contextmanager
def small_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a hub, and have huggingface_hub speak to it."""
    import huggingface_hub.constants

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.tokens.add(self.headers.get("Authorization"))
            status, answer = hub.answer(self.path.split("?")[0], content)
            self.send(status, answer)

        def do_GET(self) -> None:
            self.send(404, {"error": f"no {self.path}"})

        def send(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
