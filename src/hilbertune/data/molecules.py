"""Molecules: Morgan fingerprints, a check of SMILES, and splits by scaffold, through RDKit.

In: SMILES texts.
Out: fingerprints of 0 and 1, the rows that RDKit refuses with the reason, and a `Split` of the rows.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int64

from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError, require

DEFAULT_RADIUS = 2
"""Bonds; the diameter of 4 gives these fingerprints their other name, ECFP4."""

DEFAULT_BITS = 2048

_EXAMPLES = ["CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CC(=O)OC1=CC=CC=C1C(=O)O", "C[C@H](N)C(=O)O"]
"""Molecules whose fingerprints stand for RDKit's way of making them."""

_SHOWN = 5
"""Refused molecules that a message names."""


def morgan_options(model: str) -> tuple[int, int] | None:
    """Return the radius and bits that "morgan" or "morgan:radius=3,bits=1024" asks for, or None for other names.

    Raises:
        HilbertuneError: other options than radius (0 to 16) and bits (1 to 65,536).
    """
    name, _, text = model.partition(":")
    if name != "morgan":
        return None
    options = {"radius": DEFAULT_RADIUS, "bits": DEFAULT_BITS}
    for part in text.split(",") if text else []:
        key, _, value = part.partition("=")
        if key.strip() not in options or not re.fullmatch(r" *\d{1,5} *", value):
            raise HilbertuneError(f"{model!r} asks for {part!r}: write for example 'morgan:radius=3,bits=1024'.")
        options[key.strip()] = int(value)
    radius, bits = options["radius"], options["bits"]
    if radius > 16 or not 1 <= bits <= 65536:
        raise HilbertuneError(f"{model!r} needs a radius of at most 16 and 1 to 65,536 bits.")
    return radius, bits


def morgan_name(radius: int, bits: int) -> str:
    """Return the complete name that `morgan_options` reads."""
    return f"morgan:radius={radius},bits={bits}"


def morgan_sha256(radius: int = DEFAULT_RADIUS, bits: int = DEFAULT_BITS) -> str:
    """Return the SHA-256 of the fingerprints of some molecules, since another version of RDKit may make others."""
    bytes_ = fingerprints(_EXAMPLES, radius, bits).astype(np.uint8).tobytes()
    return hashlib.sha256(morgan_name(radius, bits).encode() + b"\0" + bytes_).hexdigest()


def fingerprints(
    smiles: Sequence[str], radius: int = DEFAULT_RADIUS, bits: int = DEFAULT_BITS
) -> Float32[np.ndarray, "rows bits"]:
    """Return Morgan fingerprints (Rogers & Hahn 2010): 1 at each place that a neighbourhood of the molecule hashes to.

    Raises:
        HilbertuneError: SMILES that RDKit refuses, with their rows, from 1.
        MissingExtraError: the extra `chemistry` is not installed.
    """
    require("rdkit", "chemistry")
    from rdkit.Chem import rdFingerprintGenerator

    usable_rows(smiles)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    vectors = np.zeros((len(smiles), bits), dtype=np.float32)
    for row, text in enumerate(smiles):
        vectors[row] = generator.GetFingerprintAsNumPy(_molecule(text)[0])
    return vectors


def check_smiles(smiles: Sequence[str]) -> dict[int, str]:
    """Return the rows, from 0, that RDKit refuses, each with the reason.

    Raises:
        MissingExtraError: the extra `chemistry` is not installed.
    """
    reasons = {row: _molecule(text)[1] for row, text in enumerate(smiles)}
    return {row: reason for row, reason in reasons.items() if reason}


def usable_rows(
    smiles: Sequence[str], *, invalid: Literal["refuse", "skip"] = "refuse"
) -> Int64[np.ndarray, " usable"]:
    """Return the rows, from 0, that RDKit accepts; `check_smiles` says what is wrong with the others.

    Raises:
        HilbertuneError: SMILES that RDKit refuses (with their rows, from 1), unless `invalid` is
            "skip"; none that it accepts.
        MissingExtraError: the extra `chemistry` is not installed.
    """
    refused = check_smiles(smiles)
    if refused and invalid == "refuse":
        shown = "; ".join(f"row {row + 1}, {smiles[row]!r}: {reason}" for row, reason in list(refused.items())[:_SHOWN])
        others = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise HilbertuneError(
            f"RDKit refuses {len(refused)} of {len(smiles)} SMILES ({shown}{others}): repair or remove them, or leave "
            "them out with invalid='skip'."
        )
    if len(refused) == len(smiles):
        raise HilbertuneError(f"RDKit accepts none of the {len(smiles)} SMILES: check the column.")
    return np.array([row for row in range(len(smiles)) if row not in refused], dtype=np.int64)


def _molecule(smiles: object) -> tuple[Any, str]:
    """Return RDKit's molecule and "", or None and the reason why there is none."""
    require("rdkit", "chemistry")
    from rdkit import Chem, rdBase

    if not isinstance(smiles, str) or not smiles.strip():
        return None, "empty"
    silent = rdBase.BlockLogs()
    try:
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is not None:
            return (molecule, "") if molecule.GetNumAtoms() else (None, "no atoms")
        raw = Chem.MolFromSmiles(smiles, sanitize=False)
        problems = Chem.DetectChemistryProblems(raw) if raw is not None else []
    finally:
        del silent
    if raw is None:
        return None, "not written as SMILES"
    return None, problems[0].Message() if problems else "not a possible molecule"


def scaffolds(smiles: Sequence[str]) -> list[str]:
    """Return Bemis-Murcko scaffolds (rings and what links them) as SMILES; "" for molecules without rings.

    Chirality is left out, as in MoleculeNet.

    Raises:
        HilbertuneError: SMILES that RDKit refuses.
        MissingExtraError: the extra `chemistry` is not installed.
    """
    murcko = require("rdkit.Chem.Scaffolds.MurckoScaffold", "chemistry")
    usable_rows(smiles)
    return [str(murcko.MurckoScaffoldSmiles(mol=_molecule(text)[0], includeChirality=False)) for text in smiles]


def scaffold_split(
    smiles: Sequence[str],
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int | None = None,
) -> Split:
    """Divide rows into training, validation and test rows so that no scaffold is in two of these sets.

    Without a seed, as in MoleculeNet (arXiv 1703.00564) and DeepChem, groups of one scaffold, the
    largest first (among equals the one whose first row comes last), train while they fit into the
    share, else validate while they fit, else test. A seed puts the groups into random order
    instead. `shares` are those of training, validation and test rows, and add up to 1; since groups
    stay whole, the sets have about these sizes.

    Raises:
        HilbertuneError: shares that are negative or do not add up to 1, a negative seed, SMILES
            that RDKit refuses, a set that has a share and gets no row.
        MissingExtraError: the extra `chemistry` is not installed.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9 or not shares[0]:
        raise HilbertuneError(
            f"shares must be three numbers of at least 0 that add up to 1, the first above 0, not {shares}."
        )
    if seed is not None and seed < 0:
        raise HilbertuneError(f"seed must be 0 or more, not {seed}.")
    members: dict[str, list[int]] = {}
    for row, scaffold in enumerate(scaffolds(smiles)):
        members.setdefault(scaffold, []).append(row)
    groups = sorted(members.values(), key=lambda rows: (len(rows), rows[0]), reverse=True)
    if seed is not None:
        order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(groups))
        groups = [groups[index] for index in order]
    # Rounded first, since 0.8 + 0.1 is a little less than 0.9 in floating point.
    cuts = [round(share * len(smiles), 9) for share in (shares[0], shares[0] + shares[1])]
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for rows in groups:
        if len(parts[0]) + len(rows) <= cuts[0]:
            parts[0].extend(rows)
        elif len(parts[0]) + len(parts[1]) + len(rows) <= cuts[1]:
            parts[1].extend(rows)
        else:
            parts[2].extend(rows)
    for name, share, rows in zip(("train", "validate", "test"), shares, parts, strict=True):
        if share and not rows:
            raise HilbertuneError(
                f"{len(groups)} scaffolds in {len(smiles)} rows leave none to {name}: "
                "add rows, change the shares or try another seed."
            )
    return Split(*(np.array(rows, dtype=np.int64) for rows in parts))
