"""A request that can be repeated, repeated while its fault may pass, for a stated time and with a word at each try.

In: the way to an API, and how long to be patient.
Out: what the API answers, or one sentence when the time is up.
"""

import time
from typing import Any, TypeVar

from hilbertune.errors import HilbertuneError
from hilbertune.hardware import answers
from hilbertune.hardware.provider import LostAnswerError, NotThereError, Say
from hilbertune.hardware.wire import LARGEST, UnreadableError, UnsentError, Wire

PATIENCE, FOR_A_JOB = 30.0, 300.0
"""Seconds for which a request that can be repeated is repeated before the command stops (and can be repeated): for a
question, and once this connection knows of a job that is not done."""

ATTEMPT, LONG_ATTEMPT = 20.0, 300.0
"""Seconds for one request, and for one that carries circuits or results."""

T = TypeVar("T")


class GivenUpError(HilbertuneError):
    """A fault that has not passed."""


class Asking:
    """Patience with an API.

    Args:
        wire: the way to it.
        say: called with a sentence at each fault.
        wait: the longest first pause between two requests, in seconds.
        patience: seconds for which a request is repeated; None is 30, and 300 while `expecting`.
    """

    def __init__(self, wire: Wire, say: Say, wait: float, patience: float | None) -> None:
        self.wire, self.say, self.wait, self.patience = wire, say, wait, patience
        self.expecting = False
        """True if this connection knows of a job that is not done."""

    @property
    def seconds(self) -> float:
        """Seconds for which a request is repeated now."""
        if self.patience is not None:
            return self.patience
        return FOR_A_JOB if self.expecting else PATIENCE

    def ask(self, method: str, path: str, *, largest: int = LARGEST, comes: bool = False, **query: Any) -> Any:
        """Return the JSON of an answer, asking again and again while the fault may pass.

        Args:
            method: of HTTP; the request can be repeated.
            path: below the address.
            largest: the most bytes of the answer.
            comes: what is asked for must be there soon, so that its absence is a fault that may pass.
            query: parameters.

        Raises:
            NotThereError: the vendor says that there is no such thing.
            HilbertuneError: it is refused, or the fault has not passed.
        """
        patience = self.seconds
        give_up, pause = time.monotonic() + patience, min(0.5, self.wait)
        longest = ATTEMPT if largest <= LARGEST else LONG_ATTEMPT
        seconds = min(longest, patience)
        while True:
            try:
                answer = self.wire.ask(method, path, query=query, seconds=seconds, largest=largest)
                return answers.content(answer)
            except NotThereError as absent:
                if not comes:
                    raise
                trouble, asked = str(absent).rstrip("."), None
            except UnreadableError as odd:
                raise HilbertuneError(f"{odd}: nothing is lost; ask the vendor if it stays so.") from None
            except (UnsentError, LostAnswerError) as fault:
                trouble, asked = str(fault), getattr(fault, "retry_after", None)
            left = give_up - time.monotonic()
            if left <= 0:
                raise GivenUpError(
                    f"{trouble} for {patience:.0f} s: nothing is lost, run the same command or "
                    "'hilbertune qpu resume' later."
                )
            rest = min(max(asked or 0.0, pause), left)
            self.say(f"{trouble}; asking again in {rest:.1f} s, and for {left:.0f} s in all.")
            time.sleep(rest)
            # What the vendor asks for may take all that is left: one more request is made then.
            seconds = min(longest, max(give_up - time.monotonic(), min(2.0, patience)))
            pause = min(2 * pause, max(5.0, patience / 10))

    def read(self, form: type[T], path: str, **query: Any) -> T:
        """Return the record that a path answers with."""
        record: T = answers.read(form, self.ask("GET", path, **query), f"GET {path}")
        return record
