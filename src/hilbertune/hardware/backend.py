"""The head on hardware: programs in batches, written down, estimated, capped, sent, waited for, and turned into expectations.

In: a provider (IonQ's cloud, or any Qiskit backend), a folder for the ledger, shots and a spending limit. Out: a `HardwareBackend`, which stands where an engine
stands: `expectation(..., engine=backend)`, `model.head_.head.engine = backend`, so that `predict`, `evaluate` and `train` run on it unchanged. The same call after a crash
finds its batches in the ledger: nothing is sent, or paid, twice.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.binding import BoundCircuit, Gate, bind
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Batch, Counts, Ledger
from hilbertune.hardware.mitigation import expectations_of, extrapolated
from hilbertune.hardware.pricing import Estimate, Pricing, formula
from hilbertune.hardware.provider import LostAnswerError, Provider, Say

ATTEMPTS = 3
"""How often a batch whose creation got lost, and which the vendor does not have, is sent again."""


class HardwareBackend:
    """An engine whose expectations are measured.

    Args:
        provider: where programs run.
        run: folder of the ledger; the same folder finds what was sent before.
        shots: for each circuit.
        max_cost: batches that would bring the ledger's sum above it are refused before they are sent; None allows none that cost anything.
        pricing: "vendor" asks the provider for an estimate, "azure" and "braket" are published formulas.
        readout: undo readout errors, measured with two more circuits (all qubits in |0>, all in |1>).
        scales: odd noise scales for zero-noise extrapolation, such as (1, 3); (1,) is none.
        reduce: drop gates that the measured qubits cannot see, and merge what meets.
        batch_circuits: circuits of a job at most; the provider's limit holds too.
        retry_failed: send batches that failed once more.
        say: told about waiting.
        settle: seconds for which a job whose creation got lost is looked for before it is taken as not created.

    Raises:
        HilbertuneError: impossible settings; a refusal of the provider, or a spending limit, when programs are sent.
    """

    def __init__(
        self,
        provider: Provider,
        run: Path,
        *,
        shots: int = 1024,
        max_cost: float | None = None,
        pricing: Pricing = "vendor",
        readout: bool = False,
        scales: Sequence[int] = (1,),
        reduce: bool = True,
        batch_circuits: int | None = None,
        retry_failed: bool = False,
        say: Say = lambda sentence: None,
        settle: float = 60.0,
    ) -> None:
        if shots < 1:
            raise HilbertuneError(f"shots must be at least 1, not {shots}.")
        if not scales or scales[0] != 1 or len(set(scales)) != len(scales):
            raise HilbertuneError(f"scales must begin with 1 and be different, not {tuple(scales)}.")
        if len(scales) > 1 and provider.gateset == "qis" and provider.name.startswith("ionq"):
            raise HilbertuneError(
                "The vendor's compiler would take folded CNOTs out again: use the gate set 'native' with noise scales."
            )
        self.offline = False
        """Read results from the ledger only."""
        self.name = f"{provider.name}, {shots} shots"
        self.provider, self.shots, self.max_cost, self.pricing = provider, shots, max_cost, pricing
        self.readout, self.scales, self.reduce = readout, tuple(scales), reduce
        self.retry_failed, self.say, self.settle = retry_failed, say, settle
        circuits, gates = provider.limits
        self.limits = min(circuits, batch_circuits or circuits), gates
        self.ledger = Ledger(run / "ledger.sqlite")
        self._occasions: dict[str, int] = {}
        self._prices: dict[tuple[int, ...], dict[str, Any]] = {}
        self._calibrations: dict[int, Float[np.ndarray, "2 qubits"]] = {}

    # An engine ----------------------------------------------------------------------------------------

    def __call__(
        self,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        """Measured <Z> [runs, batch, measured]; there are no joint probabilities to hand on."""
        if amplitudes.shape[-1]:
            raise HilbertuneError(
                "Only the head runs on hardware: amplitudes cannot be loaded, leave encoders on a simulator."
            )
        w, x = weights.detach().double().cpu().numpy(), inputs.detach().double().cpu().numpy()
        programs = [
            bind(circuit, w[run].tolist(), x[run, row].tolist(), measured, reduce=self.reduce)
            for run in range(len(w))
            for row in range(x.shape[1])
        ]
        values = torch.from_numpy(self.expectations(programs)).to(weights)
        return values.view(len(w), x.shape[1], len(measured)), values.new_zeros(0)

    def expectations(
        self, programs: Sequence[BoundCircuit], shots: int | None = None
    ) -> Float[np.ndarray, "programs measured"]:
        """<Z> of each program's measured qubits, with what mitigation was asked for."""
        shots = shots or self.shots
        if self.readout:
            self._calibrate({p.qubits for p in programs}, shots)
        folded = [program.folded(scale) for scale in self.scales for program in programs]
        raw = np.array([expectations_of(c) for c in self.counts(folded, shots)])
        if self.readout:
            shown = [self._corrected(z, p) for z, p in zip(raw, folded, strict=True)]
            raw = np.array(shown)
        at = raw.reshape(len(self.scales), len(programs), -1)
        return np.asarray(np.clip(extrapolated(self.scales, at), -1.0, 1.0))

    def _calibrate(self, sizes: set[int], shots: int) -> None:
        for qubits in sorted(sizes - set(self._calibrations)):
            everything = tuple(range(qubits))
            ones = tuple(Gate(q, None, np.pi) for q in everything)
            pair = [BoundCircuit(qubits, gates, everything) for gates in ((), ones)]
            self._calibrations[qubits] = np.array([expectations_of(c) for c in self.counts(pair, shots)])

    def _corrected(self, z: Float[np.ndarray, " measured"], program: BoundCircuit) -> Float[np.ndarray, " measured"]:
        """A readout that flips 0 with probability a and 1 with b turns <Z> into (b - a) + (1 - a - b) <Z>; the two calibrations are its ends."""
        zero, one = self._calibrations[program.qubits][:, list(program.measured)]
        return np.asarray((2 * z - (zero + one)) / np.maximum(zero - one, 0.1))

    # Batches ------------------------------------------------------------------------------------------

    def batches(self, programs: Sequence[BoundCircuit], shots: int) -> list[tuple[str, list[BoundCircuit]]]:
        """Programs in jobs within the limits, each with its hash. The n-th time that the same job is asked for has a hash of its own."""
        found: list[list[BoundCircuit]] = []
        room = 0
        for program in programs:
            size = sum(program.counts(self.provider.gateset))
            if not found or len(found[-1]) >= self.limits[0] or size > room:
                found.append([])
                room = self.limits[1]
            if size > room:
                raise HilbertuneError(
                    f"A circuit has {size} gates, a job takes {room}: use fewer re-uploads or layers."
                )
            found[-1].append(program)
            room -= size
        return [(self._hash(batch, shots), batch) for batch in found]

    def _hash(self, programs: Sequence[BoundCircuit], shots: int) -> str:
        about = [
            self.provider.settings(),
            shots,
            [[p.qubits, p.measured, [list(g) for g in p.gates]] for p in programs],
        ]
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        occasion = self._occasions.get(key, 0)
        self._occasions[key] = occasion + 1
        return hashlib.sha256(f"{key} {occasion}".encode()).hexdigest()

    def price(self, program: BoundCircuit, shots: int) -> dict[str, Any]:
        """What one circuit costs; equal sizes are asked for once."""
        one, two = program.counts(self.provider.gateset)
        key = (shots, one, two, program.qubits)
        if key not in self._prices:
            if self.pricing == "vendor":
                self._prices[key] = self.provider.price(*key)
            else:
                self._prices[key] = formula(self.pricing, shots, one, two)
        return self._prices[key]

    def estimate(self, programs: Sequence[BoundCircuit], shots: int | None = None) -> Estimate:
        """What measuring these programs takes, mitigation included; nothing is sent."""
        shots = shots or self.shots
        every = [program.folded(scale) for scale in self.scales for program in programs]
        if self.readout:
            sizes = sorted({p.qubits for p in programs} - set(self._calibrations))
            every += [BoundCircuit(q, (), tuple(range(q))) for q in sizes for _ in range(2)]
        kept = dict(self._occasions)
        batches = self.batches(every, shots)
        self._occasions = kept
        prices = [self.price(p, shots) for p in every]
        gates = np.array([p.counts(self.provider.gateset) for p in every]).sum(0)
        seconds = [p.get("seconds") for p in prices]
        return Estimate(
            batches=len(batches),
            circuits=len(every),
            shots=shots * len(every),
            one_qubit_gates=int(gates[0]),
            two_qubit_gates=int(gates[1]),
            cost=float(sum(p["cost"] for p in prices)),
            unit=prices[0]["unit"],
            source=prices[0]["source"],
            seconds=None if None in seconds else float(sum(s for s in seconds if s is not None)),
            queue_seconds=prices[0].get("queue_seconds"),
        )

    def counts(self, programs: Sequence[BoundCircuit], shots: int) -> list[Counts]:
        """Outcomes of each program. Batches that the ledger has results for are not sent.

        Raises:
            HilbertuneError: a batch would pass the spending limit, or failed; others were finished first, and a further call goes on.
        """
        batches = self.batches(programs, shots)
        for hash_, own in batches:
            gates = np.array([p.counts(self.provider.gateset) for p in own]).sum(0)
            cost = sum(self.price(p, shots)["cost"] for p in own)
            self.ledger.plan(
                hash_,
                self.provider.name,
                len(own),
                shots,
                (int(gates[0]), int(gates[1])),
                cost,
                max(p.qubits for p in own),
            )
        while True:
            for hash_, own in batches:
                self._send(hash_, own)
            if not self._collect(dict(batches)):
                break
        found: list[Counts] = []
        for hash_, own in batches:
            results = self.ledger.results(hash_)
            found += [results[i] for i in range(len(own))]
        return found

    def _send(self, hash_: str, programs: Sequence[BoundCircuit]) -> None:
        batch = self.ledger.batch(hash_)
        if batch.state == "sending" and not self.offline:
            self._adopt(batch)
            batch = self.ledger.batch(hash_)
        if batch.state == "done":
            return
        if self.offline:
            raise HilbertuneError(
                f"Batch {batch.number} is {batch.state}: 'hilbertune qpu resume' finishes the run first."
            )
        if batch.state == "sent":
            return
        if batch.state in ("failed", "cancelled") and not self.retry_failed:
            raise HilbertuneError(
                f"Batch {batch.number} was {batch.state} ({batch.error}): resume with --retry-failed to send it again."
            )
        missing = self._missing(hash_, programs)
        while True:
            self._afford(batch)
            self.ledger.sending(hash_)
            batch = self.ledger.batch(hash_)
            try:
                job = self.provider.submit(hash_, batch.attempts, [programs[i] for i in missing], batch.shots)
            except LostAnswerError as lost:
                self.say(f"{lost}; looking whether the job was created.")
                if self._adopt(batch):
                    return
                if batch.attempts >= ATTEMPTS:
                    raise HilbertuneError(f"{lost}, {ATTEMPTS} times, and no job was created: resume later.") from None
                continue
            except HilbertuneError as error:
                self.ledger.ended(hash_, "planned", str(error))
                raise
            self.ledger.sent(hash_, job)
            return

    def cancel(self) -> list[int]:
        """Cancel every batch that is open at the vendor; returns their numbers. One that may have been sent is looked for first."""
        stopped = []
        for batch in self.ledger.open_batches():
            if batch.state == "sending" and not self._adopt(batch):
                continue
            job = self.ledger.batch(batch.hash).job
            assert job is not None
            self.provider.cancel(job)
            if self.provider.status(job)[0] == "cancelled":
                self.ledger.ended(batch.hash, "cancelled", f"job {job} was cancelled")
                stopped.append(batch.number)
        return stopped

    def settle_by_hand(self, job: str | None) -> None:
        """Say of the one batch that was perhaps sent that it is this job, or, with None, that it was not sent.

        Raises:
            HilbertuneError: no batch is in doubt, or more than one.
        """
        doubtful = [b for b in self.ledger.open_batches() if b.state == "sending"]
        if len(doubtful) != 1:
            raise HilbertuneError(f"{len(doubtful)} batches are in doubt, not one: leave --sent-as and --not-sent out.")
        if job is None:
            self.ledger.ended(doubtful[0].hash, "planned", "it was not sent, says the user")
        else:
            self.ledger.sent(doubtful[0].hash, job)

    def _missing(self, hash_: str, programs: Sequence[BoundCircuit]) -> list[int]:
        """The programs of a batch that have no counts yet; all, unless a part of it failed."""
        have = self.ledger.results(hash_)
        return [i for i in range(len(programs)) if i not in have]

    def _adopt(self, batch: Batch) -> bool:
        """Take over the job of a batch that was perhaps created; if the vendor has none, the batch may be sent again."""
        give_up = time.monotonic() + self.settle
        while True:
            job = self.provider.find(batch.hash, batch.attempts)
            if job is not None:
                self.ledger.sent(batch.hash, job)
                return True
            if time.monotonic() > give_up:
                self.ledger.ended(batch.hash, "planned", "its creation got lost")
                return False
            time.sleep(min(1.0, self.settle / 5))

    def _afford(self, batch: Batch) -> None:
        cost = batch.cost or 0.0
        if not cost:
            return
        spent = self.ledger.committed()
        if self.max_cost is None or spent + cost > self.max_cost * (1 + 1e-9):
            limit = "nothing was allowed" if self.max_cost is None else f"the limit is {self.max_cost:.2f}"
            raise HilbertuneError(
                f"This batch would cost {cost:.2f} after {spent:.2f} so far, and {limit}: raise --max-cost to go on."
            )  # fmt: skip

    def _collect(self, batches: Mapping[str, Sequence[BoundCircuit]]) -> bool:
        """Wait until no batch is open; keep results first, then tell about those that failed. Whether some must be sent again, which cost nothing."""
        told: dict[str, str] = {}
        failures: list[str] = []
        again = False
        waiting = [h for h in batches if self.ledger.batch(h).state == "sent"]
        while waiting:
            for hash_ in list(waiting):
                batch = self.ledger.batch(hash_)
                assert batch.job is not None
                state, sentence = self.provider.status(batch.job)
                if state in ("waiting", "running"):
                    if told.get(hash_) != sentence:
                        self.say(sentence)
                        told[hash_] = sentence
                    continue
                waiting.remove(hash_)
                if state == "lost":
                    self.ledger.ended(hash_, "planned", sentence)
                    again = True
                    continue
                missing = self._missing(hash_, batches[hash_])
                programs = [batches[hash_][i] for i in missing]
                if state == "done":
                    found = dict(enumerate(self.provider.results(batch.job, programs)))
                else:
                    found = self.provider.partial(batch.job, programs)
                    failures.append(sentence)
                    ended: Literal["failed", "cancelled"] = "cancelled" if state == "cancelled" else "failed"
                    self.ledger.ended(hash_, ended, sentence)
                billed, kwh = self.provider.bill(batch.job)
                self.ledger.keep(hash_, {missing[i]: c for i, c in found.items()}, billed, kwh)
            if waiting:
                time.sleep(self.provider.wait)
        if failures:
            raise HilbertuneError(
                f"{'; '.join(failures)}: all other results are kept; resume with --retry-failed to send the rest again."
            )

        return again
