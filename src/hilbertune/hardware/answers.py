"""The answers of IonQ's API v0.4, typed: what is read of each, and what each status means.

In: an `Answer`, and the record that it should be. Fields that are not read here are of no matter.
Out: the record, whose optional fields are None where they are of another type; or a sentence that names call and field.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.provider import LostAnswerError, NotThereError
from hilbertune.hardware.wire import Answer, UnreadableError

pydantic: Any = require("pydantic", "qpu")

MOST = 1e12
"""No price, energy or number of milliseconds is higher; what is, is taken for a fault."""


_JOB = "[A-Za-z0-9_-]{1,100}"


_REASONS = {
    "InvalidInput": "the circuits are not what the backend takes",
    "CompilationError": "the vendor could not compile the circuits",
    "ContractExpiredError": "the account's contract has expired",
    "QuotaExhaustedError": "the account's quota is used up",
    "NotEnoughQubits": "the backend has fewer qubits than the circuits",
    "PreflightError": "the device failed its checks before the run",
    "QuantumComputerError": "the device failed during the run",
    "SystemCancel": "the vendor cancelled the job",
    "TooLongPredictedExecutionTime": "the job would take too long",
    "TooManyGates": "a circuit has too many gates",
    "TooManyShots": "too many shots were asked for",
}


def _or_none(value: Any, check: Callable[[Any], Any]) -> Any:
    try:
        return check(value)
    except pydantic.ValidationError:
        return None


Number = Annotated[float, pydantic.Strict(), pydantic.Field(ge=0, le=MOST, allow_inf_nan=False)]
Whole = Annotated[int, pydantic.Strict(), pydantic.Field(ge=0, le=1_000_000_000)]
Word = Annotated[str, pydantic.Field(min_length=1, max_length=200)]
JobId = Annotated[str, pydantic.Field(pattern=f"^{_JOB}$")]
Outcome = Annotated[str, pydantic.Field(pattern=r"^(0|[1-9][0-9]{0,29})$")]
Share = Annotated[float, pydantic.Strict(), pydantic.Field(ge=0, le=1 + 1e-6, allow_inf_nan=False)]

_lenient = pydantic.WrapValidator(_or_none)
Numbered = Annotated[Number | None, _lenient]
Counted = Annotated[Whole | None, _lenient]
Said = Annotated[str | None, _lenient]
Flag = Annotated[bool | None, pydantic.Strict(), _lenient]

Table = dict[Outcome, Share]
"""Shares by the decimal number of an outcome, qubit 0 being the least significant bit."""


@dataclass(frozen=True)
class Device:
    """A device or simulator of the vendor."""

    backend: Word
    status: Said = None
    qubits: Counted = None
    average_queue_time: Numbered = None
    last_updated: Said = None
    degraded: Flag = None
    kw: Numbered = None
    location: Said = None
    characterization_id: Said = None


@dataclass(frozen=True)
class Amount:
    """A sum of money."""

    value: Number


@dataclass(frozen=True)
class Quote:
    """An estimate in either of its forms, of May and of October 2026."""

    estimated_cost: Number | Amount | None = None
    estimated_total_cost: Number | None = None
    cost_unit: Word | None = None
    estimated_unit: Word | None = None
    current_predicted_queue_time: Numbered = None
    estimated_execution_time: Numbered = None

    @property
    def cost(self) -> float | None:
        """The estimated cost; the higher one, should both forms be there."""
        first = self.estimated_cost.value if isinstance(self.estimated_cost, Amount) else self.estimated_cost
        return max((c for c in (first, self.estimated_total_cost) if c is not None), default=None)


@dataclass(frozen=True)
class Bill:
    """What a job cost."""

    cost: Annotated[Number | Amount | None, _lenient] = None


@dataclass(frozen=True)
class Created:
    """A job that was created."""

    id: JobId


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    code: Said = None
    error: Said = None
    message: Said = None

    @property
    def reason(self) -> str:
        """The vendor's code and what it means, in our words where we have some."""
        code = shown(self.code or self.error or "unknown", 60)
        return f"{code}: {_REASONS.get(code) or shown(self.message or '') or 'no reason was given'}"


@dataclass(frozen=True)
class Stats:
    """What a job took."""

    kwh: Numbered = None


@dataclass(frozen=True)
class Listed:
    """A job as a list names it; whose it is must be sure."""

    id: JobId
    metadata: dict[str, Any] | None = None
    parent_job_id: str | None = None
    name: Said = None
    status: Said = None


@dataclass(frozen=True)
class Page:
    """A page of a list of jobs, and the mark of the next."""

    jobs: list[Listed]
    next: Annotated[str, pydantic.Field(max_length=2_000)] | Whole | None = None


@dataclass(frozen=True)
class Job(Listed):
    """A job as it is looked up by its id."""

    status: Word = ""
    child_job_ids: list[JobId] | None = None
    failure: Annotated[Failure | None, _lenient] = None
    stats: Annotated[Stats | None, _lenient] = None
    predicted_wait_time_ms: Numbered = None
    shots: Counted = None


@dataclass(frozen=True)
class _Refusal:
    """The vendor's own form of an error."""

    statusCode: Whole
    error: str
    message: str


@cache
def _reader(form: Any) -> Any:
    return pydantic.TypeAdapter(form)


def read(form: Any, value: Any, call: str) -> Any:
    """Return a value as a record or table of the given form.

    Raises:
        HilbertuneError: a field that is needed is missing or of another type; the sentence names call and field.
    """
    try:
        return _reader(form).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = shown(".".join(str(part) for part in first["loc"])) or "as a whole"
        raise HilbertuneError(
            f"IonQ's answer to {call} cannot be used ({where}: {shown(first['msg']).lower()}): "
            "nothing is lost; try again later or ask the vendor."
        ) from None


def checked_id(job: str) -> str:
    """Return the id of a job, which becomes a part of an address.

    Raises:
        HilbertuneError: it cannot be one.
    """
    if not re.fullmatch(_JOB, job):
        raise HilbertuneError(f"{shown(job, 60)!r} is not the id of a job at IonQ.")
    return job


def shown(text: object, most: int = 200) -> str:
    """Return a vendor's words fit for a sentence: in one line, of limited length, without controls of a terminal."""
    words = " ".join(str(text)[: 4 * most].split())
    clean = "".join(c if c.isprintable() else "?" for c in words)
    return (clean if len(clean) <= most else f"{clean[:most]}...").rstrip(".")


def content(answer: Answer) -> Any:
    """Return the JSON of an answer to a request that may be repeated.

    Raises:
        LostAnswerError: it may be given later.
        NotThereError: the vendor says that there is no such thing.
        HilbertuneError: it is refused.
    """
    status = answer.status
    if 200 <= status < 300:
        return answer.json()
    if status in (408, 425, 429) or status >= 500:
        raise _for_now(answer)
    if 300 <= status < 400:
        raise _elsewhere(answer)
    if status == 401:
        raise HilbertuneError("IonQ does not accept the key: set IONQ_API_KEY to a valid one.")
    refusal = _refusal(answer)
    if refusal is None:
        raise HilbertuneError(
            f"{answer.call} is answered with {status}, not in IonQ's form: check IONQ_API_URL and the network's proxy."
        )
    if status == 404:
        raise NotThereError(f"IonQ does not know {answer.call.partition(' ')[2]}.")
    raise _refused(status, refusal)


def created(answer: Answer) -> str:
    """Return the id of the job that a request has created.

    A job was certainly not created only where the vendor's own form says that the request is invalid or not allowed
    (400, 402, 403, 404, 422). Whatever else comes may come from a machine in between, after the job was created.

    Raises:
        LostAnswerError: the job may have been created.
        HilbertuneError: it was certainly not.
    """
    status = answer.status
    if 200 <= status < 300:
        try:
            job: Created = read(Created, answer.json(), answer.call)
            return job.id
        except LostAnswerError:
            raise
        except HilbertuneError:
            raise LostAnswerError("IonQ's answer has no job id") from None
    refusal = _refusal(answer) if status in (400, 402, 403, 404, 422) else None
    if refusal is not None:
        raise _refused(status, refusal)
    if 300 <= status < 400:
        raise _elsewhere(answer)
    if status == 401:
        raise LostAnswerError("IonQ does not accept the key (401)")
    raise _for_now(answer)


def _refusal(answer: Answer) -> _Refusal | None:
    """Return the vendor's own refusal, None if the answer is not of that form."""
    try:
        refusal: _Refusal = read(_Refusal, answer.json(), answer.call)
    except HilbertuneError:
        return None
    return refusal if refusal.statusCode == answer.status else None


def _refused(status: int, refusal: _Refusal) -> HilbertuneError:
    words = shown(refusal.message or refusal.error)
    if status in (402, 403):
        return HilbertuneError(f"IonQ refuses the job ({words}): add credit or ask the account's owner, then resume.")
    return HilbertuneError(f"IonQ refuses the request ({words}).")


def _for_now(answer: Answer) -> LostAnswerError:
    words = "IonQ is busy (429)" if answer.status == 429 else f"IonQ answers with an error ({answer.status})"
    asks = "" if answer.retry_after is None else f" and asks to wait {answer.retry_after:,.0f} s"
    return LostAnswerError(words + asks, answer.retry_after)


def _elsewhere(answer: Answer) -> LostAnswerError:
    return UnreadableError(
        f"IonQ's address sends {answer.call} elsewhere ({answer.status}), which the key does not follow: "
        "check IONQ_API_URL and the network"
    )
