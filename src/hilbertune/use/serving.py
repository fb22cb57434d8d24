"""A model behind HTTP: requests that wait together share a batch, and each is limited in size and in time.

In: a fitted estimator and `Limits`. Only that model is exposed: no request names a file, and no text reaches a log.
Out: an ASGI application with POST /predict, GET /model, /health and /metrics.
"""

import asyncio
import contextlib
import math
import queue
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field, create_model

from hilbertune import __version__
from hilbertune.data.checks import check_rows, checked_text
from hilbertune.errors import HilbertuneError, require
from hilbertune.estimator.base import HybridEstimator
from hilbertune.use.prediction import answers

fastapi = require("fastapi", "serve")
prometheus = require("prometheus_client", "serve")

_LONG = 1 << 13
"""Bytes of a body from which its parsing takes longer than a turn of the loop."""

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]|\*")
"""A name as `--allowed-host` takes it: without scheme and port."""


@dataclass(frozen=True)
class Limits:
    """Limits of a request: bytes of its body, items, characters of an item, seconds of waiting.

    At most `waiting` items are queued, and `batch` go through the model at once. A request's headers may take
    `header_seconds`, its whole body `seconds`, and so may its answer. At most `requests` are answered at once.
    """

    body_bytes: int = 1_000_000
    items: int = 256
    characters: int = 10_000
    seconds: float = 30.0
    waiting: int = 4096
    batch: int = 64
    header_seconds: float = 10.0
    requests: int = 4096


class Refusal(BaseModel):
    """The reason why a request was not answered, in one sentence."""

    detail: str


class Health(BaseModel):
    """The statement that the server is up and its worker alive."""

    status: str


class Card(BaseModel):
    """A description of the model; nothing about the machine it runs on."""

    hilbertune: str
    task: str
    reads: str
    classes: list[str | int | float | bool]
    qubits: int
    parameters: int
    members: int
    features: int


class Answer(BaseModel):
    """One prediction: `label`, `probability`; `labels`, `probabilities` (multi-label); or `value` (regression)."""

    label: str | int | float | bool | None = None
    probability: float | None = None
    labels: list[str | int | float | bool] | None = None
    probabilities: list[float] | None = None
    value: float | None = None


class Answers(BaseModel):
    """A prediction for each item, in the order of the request."""

    predictions: list[Answer]


def application(model: HybridEstimator, limits: Limits | None = None, hosts: Sequence[str] = ()) -> Any:
    """Return the ASGI application around a model.

    Args:
        model: the fitted model.
        limits: those of a request.
        hosts: the names that the header Host may have, such as "api.example.org" or "*.example.org"; by default any.

    Raises:
        HilbertuneError: a model of pictures or sound, whose items would be files of this machine, or no name of a host.
        MissingExtraError: the extra `serve` is not installed.
    """
    limits = limits or Limits()
    for name in hosts:
        if not _HOST.fullmatch(name):
            raise HilbertuneError(f"{name!r} is no name of a host: give one such as api.example.org or *.example.org.")
    reads = _reads(model)
    counters = _Counters()
    worker = _Worker(model, limits, counters)
    app = FastAPI(
        title="Hilbertune",
        version=__version__,
        description=f"Predictions of one model that reads {reads}.",
        lifespan=_lifespan(worker),
    )
    _add_predictions(app, worker, reads)
    _add_status(app, worker, reads)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HilbertuneError, _refused)
    if hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(_Guard, worker=worker)
    return app


def _lifespan(worker: "_Worker") -> Any:
    """Return a lifespan that starts the worker with the application and lets it finish at the end."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    return lifespan


def _add_predictions(app: Any, worker: "_Worker", reads: str) -> None:
    """Add the route that the model answers."""
    model, counters = worker.model, worker.counters
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": Refusal, "description": text}
        for code, text in {
            413: "The body is too large.",
            422: "The body is not what the model reads.",
            503: "Too many items are waiting.",
            504: "The answer took too long.",
        }.items()
    }
    body = _body(reads, model, worker.limits)

    @app.post("/predict", responses=refusals, response_model_exclude_none=True)
    async def predict(asked: body) -> Answers:
        items = getattr(asked, reads)
        _check(items, reads, model)
        with counters.seconds.time():
            predictions = await worker.answer(items)
        counters.items.inc(len(items))
        return Answers(predictions=[Answer(**one) for one in predictions])


def _add_status(app: Any, worker: "_Worker", reads: str) -> None:
    """Add the routes that say what the model is, whether the server works, and what it did."""
    model, counters = worker.model, worker.counters

    @app.get("/model")
    async def card() -> Card:
        classes: Any = getattr(model, "classes_", None)
        return Card(
            hilbertune=__version__,
            task=model.task_,
            reads=reads,
            classes=[] if classes is None else classes.tolist(),
            qubits=model.head_.config.head_qubits,
            parameters=model.head_.parameter_count,
            members=model.head_.members,
            features=model.n_features_in_,
        )

    @app.get("/health", responses={503: {"model": Refusal, "description": "The worker died."}})
    async def health() -> Health:
        if not worker.alive:
            raise fastapi.HTTPException(503, "The worker is not running: start the server again.")
        return Health(status="ok")

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Any:
        return Response(
            prometheus.generate_latest(counters.registry),
            media_type=prometheus.CONTENT_TYPE_LATEST,
        )


async def _invalid(_: Request, error: Any) -> Any:
    """Answer a body that does not fit the schema with one sentence about its first fault."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    sentence = f"{where or 'The body'}: {first['msg']}."
    if first["type"] == "json_invalid":
        sentence = "The body is not JSON."
    return JSONResponse({"detail": sentence}, status_code=422)


async def _refused(_: Request, error: Exception) -> Any:
    """Answer items that the model cannot read with the error's sentence."""
    return JSONResponse({"detail": str(error)}, status_code=422)


def serve(
    model: HybridEstimator, *, host: str, port: int, limits: Limits | None = None, hosts: Sequence[str] = ()
) -> None:
    """Answer requests until the process is told to stop; those that were taken are finished.

    Raises:
        HilbertuneError: see `application`.
        MissingExtraError: the extra `serve` is not installed.
    """
    require("uvicorn", "serve")
    from hilbertune.use import connections

    limits = limits or Limits()
    # Some connections are left to clients whose turn it is, of whom one can always be let go for another.
    limits = replace(limits, requests=min(limits.requests, max(1, connections.most_connections() * 7 // 8)))
    app = application(model, limits, hosts)
    # The first prediction compiles and loads: do that before a client waits.
    first: Any = {"texts": ["C"], "pairs": [("a", "b")]}.get(_reads(model))
    answers(model, np.ones((1, model.n_features_in_), np.float32) if first is None else first)
    connections.run(app, host, port, headers=min(limits.header_seconds, limits.seconds), seconds=limits.seconds)


def _reads(model: HybridEstimator) -> str:
    """Return the name of the field that holds the items: embeddings, texts or pairs."""
    if model.embedding_ is None:
        return "embeddings"
    embedder = model.embedder()
    if embedder.kind not in ("text", "smiles"):
        raise HilbertuneError(
            f"A model of {embedder.kind} reads files, and a server must not open files that a request names: "
            "use 'predict'."
        )
    wide = embedder.pairs is not None
    return "pairs" if wide else "texts"


def _body(reads: str, model: HybridEstimator, limits: Limits) -> Any:
    """Return the request's schema."""
    text = Annotated[str, Field(min_length=1, max_length=limits.characters)]
    number = Annotated[float, Field(allow_inf_nan=False, ge=-1e30, le=1e30)]
    width = model.n_features_in_
    kinds: dict[str, Any] = {
        "texts": text,
        "pairs": Annotated[list[text], Field(min_length=2, max_length=2)],
        "embeddings": Annotated[list[number], Field(min_length=width, max_length=width)],
    }
    rows = Annotated[list[kinds[reads]], Field(min_length=1, max_length=limits.items)]
    return create_model("Items", __config__={"extra": "forbid"}, **{reads: (rows, ...)})


def _check(items: list[Any], reads: str, model: HybridEstimator) -> None:
    """Refuse at once what the model cannot read, so that it does not spoil a batch that others share."""
    if reads == "embeddings":
        with np.errstate(over="ignore"):
            check_rows(np.asarray(items, np.float32), model.head_.config, model.n_features_in_)
        return
    for row, item in enumerate(items, 1):
        for text in item if reads == "pairs" else [item]:
            checked_text(text, row, "the texts")
    if model.embedder().kind == "smiles":
        from hilbertune.data import molecules as chemistry

        chemistry.usable_rows(items)


class _Counters:
    """The figures that /metrics shows."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "hilbertune_requests",
            "Requests by path and status.",
            ["path", "status"],
            registry=self.registry,
        )
        self.items = prometheus.Counter("hilbertune_items", "Items predicted.", registry=self.registry)
        self.seconds = prometheus.Histogram(
            "hilbertune_predict_seconds", "Seconds from request to answer.", registry=self.registry
        )
        self.batch = prometheus.Histogram(
            "hilbertune_batch_items",
            "Items that went through the model at once.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.waiting = prometheus.Gauge("hilbertune_waiting_items", "Items in the queue.", registry=self.registry)


@dataclass
class _Job:
    """Items of one request, and when their client stops waiting."""

    items: list[Any]
    answer: "Future[list[dict[str, Any]]]"
    until: float


class _Worker:
    """The one thread that runs the model, on all that waits."""

    def __init__(self, model: HybridEstimator, limits: Limits, counters: _Counters) -> None:
        self.model, self.limits, self.counters = model, limits, counters
        self.jobs: queue.Queue[_Job | None] = queue.Queue()
        self.waiting, self.lock = 0, threading.Lock()
        self.thread: threading.Thread | None = None
        self.gate = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """True while requests are answered."""
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        """Start the thread, in the loop of the application."""
        self.gate = asyncio.Lock()
        self.thread = threading.Thread(target=self._run, name="hilbertune-serve", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Finish what somebody still waits for, and end."""
        self.jobs.put(None)
        if self.thread is not None:
            self.thread.join(self.limits.seconds)

    async def answer(self, items: list[Any]) -> list[dict[str, Any]]:
        """Return a prediction for each item, or refuse them if too many wait or it takes too long."""
        with self.lock:
            full = self.waiting + len(items) > self.limits.waiting
            self.waiting += 0 if full else len(items)
        if full:
            raise fastapi.HTTPException(503, "Too many items are waiting: try again later.")
        self.counters.waiting.set(self.waiting)
        job = _Job(items, Future(), time.monotonic() + self.limits.seconds)
        self.jobs.put(job)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.answer), self.limits.seconds)
        except TimeoutError:
            raise fastapi.HTTPException(504, "The answer took too long: send fewer items at once.") from None

    def _run(self) -> None:
        """Answer requests until the application stops, all that are waiting together."""
        while (first := self.jobs.get()) is not None:
            jobs, size, end = [first], len(first.items), False
            while size < self.limits.batch:
                try:
                    more = self.jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    end = True
                    break
                jobs.append(more)
                size += len(more.items)
            self._answer(jobs)
            if end:
                return

    def _answer(self, jobs: list[_Job]) -> None:
        """Answer a batch of requests, each with its own predictions or with the error."""
        now = time.monotonic()
        # Nobody waits any more for those that are late, or whose client is gone.
        size = sum(len(job.items) for job in jobs)
        jobs = [job for job in jobs if job.until >= now and not job.answer.cancelled()]
        items = [item for job in jobs for item in job.items]
        try:
            predictions = self._predict(items) if items else []
            for job in jobs:
                own, predictions = predictions[: len(job.items)], predictions[len(job.items) :]
                _settle(job.answer, own)
        except Exception as error:
            # The batch's items were checked: whatever this is, the thread must live on.
            for job in jobs:
                _settle(job.answer, error)
        with self.lock:
            self.waiting -= size
        self.counters.waiting.set(self.waiting)
        self.counters.batch.observe(len(items))

    def _predict(self, items: list[Any]) -> list[dict[str, Any]]:
        if self.model.embedding_ is None:
            return answers(self.model, np.array(items, np.float32))
        return answers(self.model, [tuple(i) if isinstance(i, list) else i for i in items])


def _settle(future: "Future[Any]", value: Any) -> None:
    """Answer, unless the client has given up."""
    with contextlib.suppress(Exception):
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)


class _Guard:
    """Middleware that counts requests, and refuses bodies that are too large before they are read whole."""

    def __init__(self, app: Any, worker: _Worker) -> None:
        self.app, self.worker, self.limits, self.counters = app, worker, worker.limits, worker.counters
        self.inside = 0

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known = {"/predict", "/model", "/health", "/metrics", "/docs", "/redoc", "/openapi.json"}
        path = scope["path"] if scope["path"] in known else "other"

        async def counted(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.counters.requests.labels(path, str(message["status"])).inc()
            await send(message)

        stated = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(stated) if stated.isdigit() and len(stated) < 20 else math.inf
        messages = await self._body(receive) if size <= self.limits.body_bytes else None
        if messages is None:
            sentence = f"The body is larger than {self.limits.body_bytes} bytes: send fewer items at once."
            # What is left of a body of unknown length is not waited for.
            left = {} if math.isfinite(size) and size > self.limits.body_bytes else {"connection": "close"}
            await JSONResponse({"detail": sentence}, 413, left)(scope, receive, counted)
            return
        if messages[-1]["type"] == "http.disconnect":
            return
        if self.inside >= self.limits.requests and path != "/health":
            sentence = "Too many requests are being answered: try again later."
            await JSONResponse({"detail": sentence}, 503)(scope, receive, counted)
            return
        replay = iter(messages)

        async def again() -> dict[str, Any]:
            return next(replay, None) or await receive()

        self.inside += 1
        try:
            if sum(len(message.get("body", b"")) for message in messages) > _LONG:
                # Long bodies are parsed one at a time, so that arrivals and short requests have their turn between two.
                async with self.worker.gate:
                    await asyncio.sleep(0)
            await self.app(scope, again, counted)
        finally:
            self.inside -= 1

    async def _body(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> list[dict[str, Any]] | None:
        """Return the messages of a request's body, None once it is too large."""
        messages: list[dict[str, Any]] = []
        read = 0
        while True:
            message = await receive()
            messages.append(message)
            read += len(message.get("body", b""))
            if read > self.limits.body_bytes:
                return None
            if message["type"] != "http.request" or not message.get("more_body"):
                return messages
