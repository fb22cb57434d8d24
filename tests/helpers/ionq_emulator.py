"""A loopback emulator of IonQ's REST API v0.4 whose physics is Qiskit Aer, with faults on request.

In: HTTP requests on 127.0.0.1; `python ionq_emulator.py --port-file FILE` is an account that outlives a killed client.
Out: answers in either of the API's two shapes of results, and bills. No real QPU was ever asked.
"""

import argparse
import hashlib
import json
import math
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

NOISE = {"aria-1": (0.0005, 0.0133), "aria-2": (0.000657333, 0.01856), "forte-1": (0.000266667, 0.004949333)}
"""One- and two-qubit depolarizing rates of the vendor's models, in Aer's parametrisation."""

DENSITY_QUBITS = 10
BODY = {
    "type",
    "name",
    "backend",
    "shots",
    "metadata",
    "session_id",
    "dry_run",
    "noise",
    "settings",
    "input",
    "lang",
    "target",
}
PRICE = (12.4166, 0.000220, 0.000975)


class Fault(Exception):
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class Emulator:
    """An account and its devices. As a context manager it serves in a thread.

    Args:
        polls: how often a job must be looked at until it is completed.
        style: "url" (results as of May 2026) or "artifact" (as of October).
        estimate_style: "may" or "october".
        readout_error: probability that a QPU's qubit is read wrongly, which the vendor's model leaves out.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        *,
        polls: int = 1,
        style: str = "url",
        estimate_style: str = "may",
        readout_error: float = 0.0,
        seed: int = 0,
        key: str = "test-key",
        kwh: Callable[[int, int, int], float] | None = None,
    ) -> None:
        self.kwh = kwh  # of a job, from its qubits, circuits and shots; the vendor need not report any
        self.polls, self.style, self.estimate_style, self.key = polls, style, estimate_style, key
        self.readout_error, self.seed = readout_error, seed
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.backends = {
            name: {
                "backend": name,
                "status": "available",
                "qubits": 36 if name != "simulator" else 29,
                "average_queue_time": 60_000,
                "last_updated": "2026-11-01T00:00:00Z",
                "degraded": False,
                "kw": None,
                "location": None,
                "characterization_id": None,
            }
            for name in ("simulator", "qpu.forte-1", "qpu.forte-enterprise-1")
        }
        self._faults: list[tuple[str, str, dict[str, Any]]] = []
        self._outcomes: list[tuple[str, dict[str, Any]]] = []
        self._cache: dict[str, np.ndarray] = {}
        self._lock = threading.RLock()
        emulator = self

        class Handler(_Handler):
            account = emulator

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v0.4"

    def __enter__(self) -> "Emulator":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Answer requests until the server is shut down."""
        self._server.serve_forever(poll_interval=0.02)

    def fault(self, request: str, kind: str, *, times: int = 1, **options: Any) -> None:
        """Let the next requests that begin so, such as "POST /jobs", go wrong.

        The kind is a status such as "429", or "504-after-create", "drop", "drop-after-create", "truncated", "html" or
        "slow".
        """
        self._faults += [(request, kind, options)] * times

    def outcome(self, kind: str, **options: Any) -> None:
        """Let the next job end otherwise than done.

        The kinds are "failed" (code=), "canceled", "partial" (failed=[child numbers]), "stuck", "wrong-sum" and
        "wrong-children".
        """
        self._outcomes.append((kind, options))

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, key: str) -> Any:
        """Return the JSON of a request, or raise a Fault; "after" faults do the work first."""
        with self._lock:
            self.requests.append((method, path))
            kind, options = self._next_fault(f"{method} {path}")
        if kind == "slow":
            time.sleep(options.get("seconds", 1.0))
            kind = ""
        if kind and not kind.endswith("-after-create") and kind not in ("truncated", "html"):
            raise self._fault(kind, options)
        if not path.startswith("/backends") and key != f"apiKey {self.key}":
            raise Fault(401, "Invalid key")
        with self._lock:
            made = self._route(method, path, query, body)
        if kind:
            raise self._fault(kind, {**options, "made": made})
        return made

    def _next_fault(self, request: str) -> tuple[str, dict[str, Any]]:
        for place, (prefix, kind, options) in enumerate(self._faults):
            if request.startswith(prefix):
                del self._faults[place]
                return kind, options
        return "", {}

    @staticmethod
    def _fault(kind: str, options: dict[str, Any]) -> Fault:
        if kind == "429":
            return Fault(429, "Too many requests", **{"Retry-After": str(options.get("retry_after", 0.05))})
        if kind.startswith("drop"):
            return Fault(0, "drop")
        if kind in ("truncated", "html"):
            text = "<html>sorry</html>" if kind == "html" else json.dumps(options["made"])
            return Fault(200, text if kind == "html" else text[: len(text) // 2])
        status = int(kind[:3])
        words = {402: "Insufficient credit", 401: "Invalid key", 403: "Not allowed"}
        return Fault(status, words.get(status, "Gateway trouble"))

    def _route(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        for pattern, verb, call in self._ROUTES:
            if verb == method and (found := re.fullmatch(pattern, path)):
                return call(self, *found.groups(), query=query, body=body)
        raise Fault(404, f"No such path: {method} {path}")

    def _create(self, *, body: Any, **_: Any) -> Any:
        if unknown := sorted(set(body) - BODY):
            raise Fault(400, f"property {unknown[0]} should not exist")
        shots = int(body.get("shots", 100))
        if not 1 <= shots <= 1_000_000:
            raise Fault(400, "shots must be between 1 and 1000000")
        backend = body.get("backend") or body.get("target", "simulator")
        if backend not in self.backends:
            raise Fault(400, f"unknown backend {backend}")
        mitigation = (body.get("settings") or {}).get("error_mitigation") or {}
        if mitigation.get("debiasing") and backend.startswith("qpu") and shots < 500:
            raise Fault(400, "debiasing requires at least 500 shots")
        given = body["input"]
        many = body["type"] == "ionq.multi-circuit.v1"
        circuits = [{**given, **c} for c in given["circuits"]] if many else [given]
        if len(circuits) > 5_000 or sum(len(c["circuit"]) for c in circuits) > 150_000:
            raise Fault(400, "too many circuits or gates in a job")
        outcome, options = self._outcomes.pop(0) if self._outcomes else ("", {})
        common = {
            "backend": backend,
            "shots": shots,
            "noise": body.get("noise"),
            "settings": body.get("settings") or {},
        }
        parent = self._job(body["type"], **common, metadata=body.get("metadata"), name=body.get("name"))
        parent |= {"outcome": outcome, "options": options, "circuits": circuits, "dry_run": bool(body.get("dry_run"))}
        gates = [len(c["circuit"]) for c in circuits]
        two = sum(len(_qubits(g)) > 1 for c in circuits for g in c["circuit"])
        parent["stats"] |= {"circuits": len(circuits), "gate_counts": {"1q": sum(gates) - two, "2q": two}}
        if self.kwh is not None and backend.startswith("qpu"):
            parent["stats"]["kwh"] = self.kwh(given["qubits"], len(circuits), shots)
        if many:
            for number, circuit in enumerate(circuits):
                child = self._job("ionq.circuit.v1", **common, metadata=None, name=circuit.get("name"))
                child |= {"parent_job_id": parent["id"], "circuits": [circuit], "number": number}
                parent["child_job_ids"].append(child["id"])
        if not parent["dry_run"]:
            self.created.append(parent["id"])
        return {"id": parent["id"], "status": "ready", "session_id": None}

    def _job(self, type_: str, **known: Any) -> dict[str, Any]:
        made = {
            "id": str(uuid.UUID(hashlib.md5(f"{self.seed} {len(self.jobs)}".encode()).hexdigest())),
            "type": type_,
            "status": "ready",
            "dry_run": False,
            "submitter_id": "me",
            "project_id": None,
            "parent_job_id": None,
            "child_job_ids": [],
            "session_id": None,
            "submitted_at": "2026-11-01T00:00:00Z",
            "started_at": None,
            "completed_at": None,
            "predicted_wait_time_ms": 60_000,
            "predicted_execution_duration_ms": 1000,
            "execution_duration_ms": None,
            "failure": None,
            "output": {},
            "stats": {"qubits": 1, "circuits": 1, "gate_counts": {"1q": 0, "2q": 0}, "kwh": None},
            "results": None,
            "seen": 0,
            "number": 0,
            "outcome": "",
            "options": {},
            **known,
        }
        self.jobs[made["id"]] = made
        return made

    def _look(self, id_: str, **_: Any) -> Any:
        job = self._find(id_)
        top = self.jobs[job["parent_job_id"]] if job["parent_job_id"] else job
        if top is job:
            self._advance(job)
        hidden = {"outcome", "options", "circuits", "seen", "number"}
        shown = {k: v for k, v in job.items() if k not in hidden and not (k == "noise" and v is None)}
        if job["status"] == "completed":
            path = f"/v0.4/jobs/{id_}/results/probabilities"
            shown["results"] = {"probabilities": {"url": path}}
            if self.style == "artifact":
                form = "ionq.result.probabilities.json.v1"
                shown["results"] = {form: {"id": f"art-{id_}", "format": form, "media_type": "application/json"}}
        return shown

    def _advance(self, job: dict[str, Any]) -> None:
        if job["status"] not in ("ready", "started"):
            return
        job["seen"] += 1
        if job["outcome"] == "stuck":
            return
        if job["seen"] < self.polls:
            job["status"] = "started" if job["seen"] > self.polls // 2 else "ready"
            return
        family = [job, *(self.jobs[c] for c in job["child_job_ids"])]
        if self.backends[job["backend"]]["qubits"] < max(c["qubits"] for c in job["circuits"]):
            job["outcome"], job["options"] = "failed", {"code": "NotEnoughQubits"}
        outcome, options = job["outcome"], job["options"]
        if outcome == "failed":
            for one in family:
                one["status"] = "failed"
                one["failure"] = {"code": options.get("code", "InternalError"), "message": "emulated failure"}
        elif outcome == "canceled":
            for one in family:
                one["status"] = "canceled"
        else:
            for one in family:
                one["status"], one["execution_duration_ms"] = "completed", 10
            if outcome == "partial":
                job["status"] = "failed"
                job["failure"] = {"code": "QuantumComputerError", "message": "some circuits failed"}
                for number in options["failed"]:
                    family[1 + number]["status"] = "failed"
                    family[1 + number]["failure"] = job["failure"]

    def _find(self, id_: str) -> dict[str, Any]:
        if id_ not in self.jobs:
            raise Fault(404, f"job {id_} not found")
        return self.jobs[id_]

    def _list(self, *, query: dict[str, str], **_: Any) -> Any:
        # As the API: a list has the children of one job, or the jobs that are nobody's children.
        jobs = [j for j in reversed(self.jobs.values()) if j["parent_job_id"] == query.get("parent_job_id")]
        if "status" in query:
            jobs = [j for j in jobs if j["status"] == query["status"]]
        start, limit = int(query.get("next", 0)), int(query.get("limit", 25))
        more = str(start + limit) if start + limit < len(jobs) else None
        hidden = {"outcome", "options", "circuits", "seen", "number", "noise", "child_job_ids"}
        page = [{k: v for k, v in j.items() if k not in hidden} for j in jobs[start : start + limit]]
        return {"jobs": page, "next": more}

    def _results(self, id_: str, kind: str, **_: Any) -> Any:
        job = self._find(id_)
        if job["status"] != "completed":
            raise Fault(404, "no results yet")
        children = job["child_job_ids"]
        if children:
            if job["outcome"] == "wrong-children":
                children = children[:-1]
            return {c: self._shown(self.jobs[c], kind) for c in children}
        return self._shown(job, kind)

    def _artifact(self, id_: str, artifact: str, **_: Any) -> Any:
        return self._results(id_, "probabilities")

    def _shown(self, job: dict[str, Any], kind: str) -> Any:
        shares = self._measure(job)
        if kind == "histogram":
            return {k: round(v * job["shots"]) for k, v in shares.items()}
        if kind == "shots":
            return [int(k) for k, v in shares.items() for _ in range(round(v * job["shots"]))]
        top = self.jobs[job["parent_job_id"]] if job["parent_job_id"] else job
        return {k: 2 * v for k, v in shares.items()} if top["outcome"] == "wrong-sum" else shares

    def _cancel(self, id_: str, **_: Any) -> Any:
        job = self._find(id_)
        for one in (job, *(self.jobs[c] for c in job["child_job_ids"])):
            if one["status"] in ("ready", "started"):
                one["status"] = "canceled"
        return {"id": id_, "status": job["status"]}

    def _cost(self, id_: str, **_: Any) -> Any:
        job = self._find(id_)
        gates = job["stats"]["gate_counts"]
        value = 0.0 if job["backend"] == "simulator" else _price(job["shots"], gates["1q"], gates["2q"])
        cost = {"value": value, "unit": "usd"}
        return {"dry_run": job["dry_run"], "estimated_cost": cost, "cost": cost}

    def _estimate(self, *, query: dict[str, str], **_: Any) -> Any:
        value = _price(int(query["shots"]), int(query["1q_gates"]), int(query["2q_gates"]))
        if self.estimate_style == "may":
            return {
                "input_values": query,
                "estimated_at": "2026-11-01T00:00:00Z",
                "cost_unit": "usd",
                "rate_information": {},
                "estimated_cost": value,
                "estimated_execution_time": 2000,
                "current_predicted_queue_time": 60_000,
            }
        return {
            "estimate_context": {"organization": None, "project": None, **query},
            "estimated_at": "2026-11-01T00:00:00Z",
            "estimated_unit": "usd",
            "rate_card": {"id": str(uuid.UUID(int=3)), "rates": []},
            "estimated_total_cost": value,
            "estimated_execution_time": 2000,
            "current_predicted_queue_time": 60_000,
            "estimated_quantum_compute_time_us": 1,
        }

    def _characterizations(self, backend: str, **_: Any) -> Any:
        fidelity = {"spam": {"median": 0.995, "stderr": 0.001}}
        timing = {"readout": 1e-4, "reset": 1e-5, "1q": 1e-4, "2q": 9e-4, "t1": 100, "t2": 1}
        one = {
            "id": str(uuid.UUID(int=2)),
            "date": "2026-11-01T00:00:00Z",
            "backend": backend,
            "qubits": 36,
            "connectivity": [[0, 1]],
            "fidelity": fidelity,
            "timing": timing,
        }
        return {"characterizations": [one], "pages": 1}

    def _backend(self, name: str, **_: Any) -> Any:
        if name not in self.backends:
            raise Fault(404, f"no backend {name}")
        return self.backends[name]

    _ROUTES: list[tuple[str, str, Callable[..., Any]]] = [  # noqa: RUF012
        ("/jobs", "POST", _create),
        ("/jobs", "GET", _list),
        ("/jobs/estimate", "GET", _estimate),
        ("/jobs/([^/]+)", "GET", _look),
        ("/jobs/([^/]+)/results/(probabilities|histogram|shots)", "GET", _results),
        ("/jobs/([^/]+)/artifacts/([^/]+)", "GET", _artifact),
        ("/jobs/([^/]+)/status/cancel", "PUT", _cancel),
        ("/jobs/([^/]+)/cost", "GET", _cost),
        ("/backends", "GET", lambda self, **_: list(self.backends.values())),
        ("/backends/([^/]+)", "GET", _backend),
        ("/backends/([^/]+)/characterizations", "GET", _characterizations),
        ("/whoami", "GET", lambda self, **_: {"key_id": str(uuid.UUID(int=1)), "key_name": "test"}),
    ]

    def _measure(self, job: dict[str, Any]) -> dict[str, float]:
        """Return shares of outcomes: exact on the ideal simulator, sampled with the job's shots if there is noise."""
        model = (job["noise"] or {}).get("model") if job["backend"] == "simulator" else "forte-1"
        circuit = job["circuits"][0]
        exact = self._probabilities(circuit, model if model != "ideal" else None, job["backend"])
        if model not in (None, "ideal"):
            key = f"{self.seed} {(job['noise'] or {}).get('seed')} {job['id']}"
            rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
            exact = rng.multinomial(job["shots"], exact / exact.sum()) / job["shots"]
        return {str(state): float(p) for state, p in enumerate(exact) if p > 1e-12}

    def _probabilities(self, circuit: dict[str, Any], model: str | None, backend: str) -> np.ndarray:
        key = json.dumps([circuit["circuit"], circuit["qubits"], circuit.get("gateset"), model, backend])
        if key not in self._cache:
            made = _circuit(circuit)
            if model is None:
                self._cache[key] = Statevector(made).probabilities()
            else:
                readout = self.readout_error if backend.startswith("qpu") else 0.0
                # Neighbouring seeds of Aer share trajectories, and circuits must not: hence the hash.
                seed = hashlib.sha256(f"{self.seed} {key}".encode()).digest()[:4]
                self._cache[key] = _noisy(made, *NOISE[model], readout, int.from_bytes(seed, "big") >> 1)
        return self._cache[key]


def _noisy(circuit: QuantumCircuit, one: float, two: float, readout: float, seed: int) -> np.ndarray:
    """Return the probabilities of a circuit with errors: exact for few qubits, else from many trajectories."""
    model = NoiseModel(basis_gates=["unitary", "pair"])
    model.add_all_qubit_quantum_error(depolarizing_error(one, 1), "one")
    model.add_all_qubit_quantum_error(depolarizing_error(two, 2), "two")
    measured = circuit.copy()
    exact = circuit.num_qubits <= DENSITY_QUBITS
    method = "density_matrix" if exact else "statevector"
    if exact:
        measured.save_probabilities()
    else:
        measured.measure_all()
    simulator = AerSimulator(method=method, noise_model=model, seed_simulator=seed)
    found = simulator.run(measured, shots=1 if exact else 20_000).result()
    if exact:
        shares = np.asarray(found.data(0)["probabilities"])
    else:
        shares = np.zeros(1 << circuit.num_qubits)
        for bits, count in found.get_counts().items():
            shares[int(bits, 2)] += count / 20_000
    if readout:
        flip = ReadoutError([[1 - readout, readout], [readout, 1 - readout]]).probabilities
        for qubit in range(circuit.num_qubits):
            cube = shares.reshape(-1, 2, 1 << qubit)
            shares = np.einsum("ab,xay->xby", flip, cube).reshape(-1)
    return shares


def _qubits(gate: dict[str, Any]) -> list[int]:
    """Return the gate's qubits, controls first."""
    found = list(gate.get("controls") or ([gate["control"]] if "control" in gate else []))
    return found + list(gate.get("targets") or [gate["target"]])


def _circuit(given: dict[str, Any]) -> QuantumCircuit:
    """Return every gate as a matrix with a label, to which noise attaches."""
    made = QuantumCircuit(int(given["qubits"]))
    for gate in given["circuit"]:
        qubits = _qubits(gate)
        matrix = _matrix(gate, len(qubits), given.get("gateset", "qis") == "native")
        made.append(UnitaryGate(matrix, label="one" if len(qubits) == 1 else "two"), qubits)
    return made


def _matrix(gate: dict[str, Any], width: int, native: bool) -> np.ndarray:
    """Return the gate's matrix, the first of its qubits being the least significant."""
    name = gate["gate"]
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])

    def turn(pauli: np.ndarray, angle: float) -> np.ndarray:
        return math.cos(angle / 2) * np.eye(len(pauli)) - 1j * math.sin(angle / 2) * pauli

    def axis(phase: float) -> np.ndarray:
        return math.cos(2 * math.pi * phase) * x + math.sin(2 * math.pi * phase) * y

    if native:
        if name == "gpi":
            return axis(gate["phase"])
        if name == "gpi2":
            return turn(axis(gate["phase"]), math.pi / 2)
        angle = 2 * math.pi * gate.get("angle", 0.25)
        if name == "zz":
            return turn(np.kron(z, z), angle)
        first, second = gate["phases"]
        return turn(np.kron(axis(second), axis(first)), angle)
    if name == "cnot" or "control" in gate or "controls" in gate:
        plain = {k: v for k, v in gate.items() if k not in ("control", "controls")}
        inner = _matrix({**plain, "gate": "x" if name == "cnot" else name}, 1, native)
        found = np.eye(4, dtype=complex)
        found[np.ix_([1, 3], [1, 3])] = inner  # the control is the least significant bit
        return found
    angle = float(gate.get("rotation", 0.0))
    if name in ("rx", "ry", "rz"):
        return turn({"x": x, "y": y, "z": z}[name[1]], angle)
    if name in ("xx", "yy", "zz"):
        pauli = {"x": x, "y": y, "z": z}[name[0]]
        return turn(np.kron(pauli, pauli), angle)
    if name == "swap":
        return np.eye(4)[[0, 2, 1, 3]]
    fixed = {
        "x": x,
        "not": x,
        "y": y,
        "z": z,
        "h": (x + z) / math.sqrt(2),
        "s": np.diag([1, 1j]),
        "si": np.diag([1, -1j]),
        "t": np.diag([1, np.exp(0.25j * math.pi)]),
        "ti": np.diag([1, np.exp(-0.25j * math.pi)]),
        "v": turn(x, math.pi / 2) * np.exp(0.25j * math.pi),
        "vi": turn(x, -math.pi / 2) * np.exp(-0.25j * math.pi),
    }
    if name not in fixed:
        raise Fault(400, f"unknown gate {name}")
    return fixed[name]


def _price(shots: int, one: int, two: int) -> float:
    return max(PRICE[0], shots * (PRICE[1] * one + PRICE[2] * two))


class _Handler(BaseHTTPRequestHandler):
    account: Emulator
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        address = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(address.query).items()}
        path = address.path.removeprefix("/v0.4")
        headers: dict[str, str] = {}
        if path.startswith("/emulator"):
            status, text = 200, json.dumps(self._control(path, body))
        else:
            try:
                key = self.headers.get("Authorization", "")
                status, text = 200, json.dumps(self.account.answer(self.command, path, query, body, key))
                status = 201 if self.command == "POST" else 200
            except Fault as fault:
                if fault.status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers, text = fault.status, fault.headers, fault.message
                if status != 200:
                    text = json.dumps({"statusCode": status, "error": "Error", "message": fault.message})
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _control(self, path: str, body: Any) -> Any:
        if path == "/emulator/fault":
            self.account.fault(body.pop("request"), body.pop("kind"), **body)
        return {"created": self.account.created, "requests": self.account.requests}

    do_GET = do_POST = do_PUT = do_DELETE = _answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--polls", type=int, default=1)
    asked = parser.parse_args()
    emulator = Emulator(seed=asked.seed, polls=asked.polls)
    temporary = asked.port_file.with_suffix(".new")
    temporary.write_text(emulator.url)
    os.replace(temporary, asked.port_file)
    emulator.serve()
