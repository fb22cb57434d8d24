"""Observables: Pauli words and weighted sums of them, and the groups in which they are measured together.

In: words such as "Z0 X2", or sums of them as {word: weight}.
Out: `Group`s: what to append to a circuit, and which qubits then carry one word each.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hilbertune.circuit.kinds import Operation
from hilbertune.errors import HilbertuneError

Letter = Literal["X", "Y", "Z"]
Word = tuple[tuple[int, Letter], ...]
"""The qubits that a word touches, ascending, each with its Pauli matrix."""

Observable = str | Mapping[str, float]
"""A Pauli word such as "Z0 X2" ("" is the identity), or a weighted sum of words, such as {"Z0 Z1": 0.5, "X0": -1}."""

_FACTOR = re.compile(r"([IXYZ])(\d+)")
_BASES: dict[Letter, tuple[str, ...]] = {"X": ("h",), "Y": ("sdg", "h"), "Z": ()}


@dataclass(frozen=True)
class Group:
    """Words that are measured by the same shots.

    `after` is appended to the circuit: a change of basis, then CNOTs that bring the parity of the i-th word in `words`
    to the qubit `measured[i]`.
    """

    words: tuple[Word, ...]
    after: tuple[Operation, ...]
    measured: tuple[int, ...]


def parse(word: str, qubits: int) -> Word:
    """Read a word such as "Z0 X2"; factors may also be joined by * or @.

    Raises:
        HilbertuneError: it is not a word, or names a qubit twice or one that does not exist.
    """
    factors: dict[int, Letter] = {}
    for text in re.split(r"[\s*@]+", word.strip()) if word.strip() else ():
        found = _FACTOR.fullmatch(text)
        if found is None:
            raise HilbertuneError(f"{word!r} is not a Pauli word: write factors as in 'Z0 X2'.")
        letter, qubit = found[1], int(found[2])
        if qubit >= qubits or qubit in factors:
            raise HilbertuneError(f"{word!r} must name different qubits of 0..{qubits - 1}.")
        if letter == "I":
            continue
        factors[qubit] = letter  # type: ignore[assignment]
    return tuple(sorted(factors.items()))


def sums(observables: Sequence[Observable], qubits: int) -> list[dict[Word, float]]:
    """Return each observable as weights by word.

    Raises:
        HilbertuneError: there are none, a word cannot be read, or a weight is not finite.
    """
    if isinstance(observables, (str, Mapping)) or not len(observables):
        raise HilbertuneError("observables must be a list of words or sums of words, such as ['Z0 Z1', {'X0': 0.5}].")
    read = []
    for observable in observables:
        terms: dict[Word, float] = {}
        for text, weight in ({observable: 1.0} if isinstance(observable, str) else observable).items():
            if not math.isfinite(weight):
                raise HilbertuneError(f"The weight of {text!r} must be finite, not {weight}.")
            word = parse(text, qubits)
            terms[word] = terms.get(word, 0.0) + float(weight)
        read.append(terms)
    return read


@functools.lru_cache(maxsize=256)
def groups(words: tuple[Word, ...]) -> tuple[Group, ...]:
    """Return groups that together measure every word but the identity.

    Words of a group agree in the basis of each qubit (they commute qubit by qubit), and none is a product of others, so
    that CNOTs can give each of them a qubit of its own.
    """
    found: list[list[Word]] = []
    for word in words:
        if not word:
            continue
        home = next((own for own in found if _agree([*own, word]) and _independent([*own, word])), None)
        if home is None:
            found.append([word])
        else:
            home.append(word)
    return tuple(_group(tuple(own)) for own in found)


def _agree(words: Sequence[Word]) -> bool:
    """Return whether no two words want different bases of a qubit."""
    bases: dict[int, Letter] = {}
    return all(bases.setdefault(qubit, letter) == letter for word in words for qubit, letter in word)


def _independent(words: Sequence[Word]) -> bool:
    """Return whether no word's parity follows from the others' (Gaussian elimination over two elements)."""
    rows: list[int] = []
    for word in words:
        row = _mask(word)
        for other in rows:
            row = min(row, row ^ other)
        if not row:
            return False
        rows.append(row)
    return True


def _mask(word: Word) -> int:
    return sum(1 << qubit for qubit, _ in word)


def _group(words: tuple[Word, ...]) -> Group:
    """Return how words that agree and are independent are measured."""
    bases = {qubit: letter for word in words for qubit, letter in word}
    after = [Operation(kind, qubit) for qubit, letter in sorted(bases.items()) for kind in _BASES[letter]]
    parities = [_mask(word) for word in words]
    measured: list[int] = []
    for place in range(len(parities)):
        own = [qubit for qubit in bases if parities[place] >> qubit & 1]
        target = next(qubit for qubit in own if qubit not in measured)
        rest = [qubit for qubit in own if qubit != target]
        after += [Operation("cx", target, qubit) for qubit in rest]
        # The target now holds the word's parity, so what it held before is that parity and the rest.
        for later in range(place + 1, len(parities)):
            if parities[later] >> target & 1:
                parities[later] ^= sum(1 << qubit for qubit in rest)
        measured.append(target)
    return Group(words, tuple(after), tuple(measured))
