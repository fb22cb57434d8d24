"""The flags of `hilbertune qpu`: where rows are measured, how often, and what may be spent.

In: flags.
Out: the options of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import finite
from hilbertune.config.sizes import LARGEST_SEED
from hilbertune.errors import HilbertuneError, shown

if TYPE_CHECKING:
    from hilbertune.hardware.options import Options

MOST_SCALE = 99
"""Largest factor by which gates are repeated to scale the noise."""

Directory = Annotated[Path, typer.Argument(help="Run directory.")]
NewDirectory = Annotated[Path, typer.Option(help="New run directory.")]
Backend = Annotated[
    str,
    typer.Option(
        help="simulator (IonQ's, free), qpu.forte-1, qpu.forte-enterprise-1, ibm:NAME, braket:NAME; "
        "without an account: local (Aer), ibm:fake_manila, braket:local."
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(min=1, help="Number of rows to measure, drawn by class with --seed; by default all."),
]
Budget = Annotated[
    float | None,
    typer.Option(
        parser=finite(0, 1e12),
        metavar="<float>",
        help="Say what fits in this amount: how many rows, how many shots, and which of both is worth more.",
    ),
]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Send and leave; 'hilbertune qpu resume' collects the results later."),
]

MaxCost = Annotated[
    float | None,
    typer.Option(
        parser=finite(0, 1e12),
        metavar="<float>",
        help="Spend no more than this in all, in the estimate's currency, checked before anything is sent; if it is "
        "enough, no question is asked.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the draw of --rows, and of a simulator's noise and shots.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Send batches that failed, or whose results were refused, again.")
]
SentAs = Annotated[
    str | None,
    typer.Option(help="The vendor's id of the job of a batch in doubt, if it cannot be looked up."),
]
NotSent = Annotated[
    bool,
    typer.Option(
        "--not-sent",
        help="You have looked: the job of a batch in doubt does not exist or brings no results. It is sent again.",
    ),
]
Number = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="The batch that --sent-as or --not-sent is about, if several are in doubt."),
]
Accept = Annotated[
    int | None,
    typer.Option("--accept", min=1, help="Number of a batch whose results were refused: take them as they are."),
]
Extra = Annotated[
    bool, typer.Option("--extra", help="Cancel only jobs that the vendor made twice, after looking for them.")
]


@dataclass(frozen=True)
class Measuring:
    """The way rows are measured: where, how often, and with which corrections."""

    backend: Backend = "simulator"
    shots: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000_000,
            help="Shots for each row. 50 rows at 128 shots cost 538 USD by Amazon Braket's list for Forte, 633 USD by "
            "Azure Quantum's ('hilbertune qpu estimate' with --budget finds better ones).",
        ),
    ] = 128
    noise: Annotated[str | None, typer.Option(help="Noise model of simulator or local: aria-1, aria-2, forte-1.")] = (
        None
    )
    gateset: Annotated[
        Literal["qis", "native"],
        typer.Option(help="qis: the vendor compiles. native: our compilation runs as it is."),
    ] = "qis"
    debiasing: Annotated[
        bool, typer.Option("--debiasing", help="The vendor's error mitigation (500 shots or more).")
    ] = False
    readout: Annotated[
        bool, typer.Option("--readout", help="Undo readout errors, measured with two more circuits.")
    ] = False
    noise_scales: Annotated[
        str,
        typer.Option("--noise-scales", help="Zero-noise extrapolation, such as 1,3: each scale takes all shots."),
    ] = "1"
    pricing: Annotated[
        Literal["vendor", "azure", "braket", "free"],
        typer.Option(help="vendor: live estimate. azure, braket: published formulas. free: a plan that bills no jobs."),
    ] = "vendor"
    batch_circuits: Annotated[int | None, typer.Option(min=1, help="Maximum number of circuits in one job.")] = None
    check_circuit: Annotated[
        bool,
        typer.Option(
            "--check-circuit/--no-check-circuit",
            help="Let a small circuit whose answer is known ride in each job of a vendor, and refuse results that "
            "contradict it, such as reversed bits.",
        ),
    ] = True

    def scales(self) -> tuple[int, ...]:
        """Return the factors by which the noise is scaled.

        Raises:
            HilbertuneError: they are not whole numbers.
        """
        try:
            scales = tuple(int(part) for part in self.noise_scales.split(","))
        except ValueError:
            scales = ()
        if not scales or not all(1 <= scale <= MOST_SCALE for scale in scales):
            raise HilbertuneError(
                f"--noise-scales takes odd numbers up to {MOST_SCALE} such as 1,3, not {shown(self.noise_scales)}."
            )
        return scales

    def options(self, seed: int = 0) -> "Options":
        """Return the options of a run.

        Raises:
            HilbertuneError: flags that do not go together.
        """
        from hilbertune.hardware.options import Options
        from hilbertune.hardware.provider import DEBIASING_SHOTS

        if self.debiasing and self.shots < DEBIASING_SHOTS and self.backend.startswith("qpu."):
            raise HilbertuneError(f"--debiasing needs --shots {DEBIASING_SHOTS} or more, not {self.shots}.")
        by_ionq = self.backend == "simulator" or self.backend.startswith("qpu.")
        if by_ionq and len(self.scales()) > 1 and self.gateset == "qis":
            raise HilbertuneError(
                "--noise-scales needs --gateset native: IonQ's compiler would take the gates out again."
            )

        same: dict[str, Any] = {name: getattr(self, name) for name in Measuring.__dataclass_fields__}
        del same["noise_scales"]
        return Options(**same, scales=self.scales(), seed=seed)


@dataclass(frozen=True)
class Estimating(Measuring):
    """The way rows would be measured."""

    backend: Backend = "qpu.forte-1"


def as_typed(record: Any, *, without: Sequence[str]) -> str:
    """Return the flags of a record whose values are not the defaults, as they are typed, each after a blank."""
    words = ""
    for field in fields(record):
        value, flag = getattr(record, field.name), f"--{field.name.replace('_', '-')}"
        if field.name in without or value == field.default:
            continue
        words += (
            f" {flag}" if value is True else f" --no-{flag[2:]}" if value is False else f" {flag} {quote(str(value))}"
        )
    return words
