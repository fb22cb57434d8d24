"""Molecules: fingerprints, the check of SMILES, splits by scaffold, and a head that learns from them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune import HybridClassifier
from hilbertune.config.records import Basis, Projection
from hilbertune.data.molecules import (
    check_smiles,
    fingerprints,
    morgan_name,
    morgan_options,
    morgan_sha256,
    scaffold_split,
    scaffolds,
    usable_rows,
)
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError

# Fingerprints


@pytest.mark.parametrize(
    ("smiles", "radius", "neighbourhoods"),
    [
        ("CCO", 0, 3),  # CH3, CH2, OH
        ("c1ccccc1", 0, 1),  # all atoms are alike
        ("c1ccccc1", 1, 2),  # and so are their neighbourhoods
        ("C", 2, 1),  # nothing around it
        ("CC", 2, 2),  # an atom, the whole
    ],
)
def test_a_bit_is_set_for_each_neighbourhood(smiles: str, radius: int, neighbourhoods: int) -> None:
    assert fingerprints([smiles], radius).sum() == neighbourhoods


def test_one_molecule_has_one_fingerprint_however_it_is_written() -> None:
    vectors = fingerprints(["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)C1=CC=CC=C1OC(C)=O", "CCO"])
    assert vectors.shape == (3, 2048)
    assert vectors.dtype == np.float32
    assert set(np.unique(vectors)) == {0, 1}
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()
    assert fingerprints(["CCO"], bits=128).shape == (1, 128)


def test_the_name_of_a_fingerprint_says_radius_and_bits() -> None:
    assert morgan_options("morgan") == (2, 2048)
    assert morgan_options("morgan:radius=3,bits=1024") == (3, 1024)
    assert morgan_options("morgan:bits=512") == (2, 512)
    assert morgan_options("organ") is None
    assert morgan_options("morgan/model") is None
    assert morgan_options(morgan_name(4, 99)) == (4, 99)
    assert len({morgan_sha256(r, b) for r in (2, 3) for b in (64, 128)}) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("morgan:size=3", "asks for 'size=3': write for example 'morgan:radius=3,bits=1024'"),
        ("morgan:radius=-1", "asks for 'radius=-1'"),
        ("morgan:radius", "asks for 'radius'"),
        ("morgan:radius=17", "needs a radius of at most 16"),
        ("morgan:bits=0", "1 to 65,536 bits"),
        ("morgan:bits=65537", "1 to 65,536 bits"),
    ],
)
def test_unknown_options_of_fingerprints_are_refused(name: str, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        morgan_options(name)


# SMILES

MIXED = ["CCO", "nonsense", "C(C)(C)(C)(C)C", "", "c1ccccc1", "c1cccc1", " "]


def test_refused_smiles_are_given_by_row_with_the_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    refused = check_smiles(MIXED)
    assert list(refused) == [1, 2, 3, 5, 6]
    assert refused[1] == "not written as SMILES"
    assert "Explicit valence for atom # 0 C, 5" in refused[2]
    assert "kekulize" in refused[5]
    assert refused[3] == refused[6] == "empty"
    assert capfd.readouterr() == ("", ""), "RDKit's own log is silenced"


def test_refused_smiles_are_skipped_where_that_is_asked() -> None:
    assert usable_rows(MIXED, invalid="skip").tolist() == [0, 4]
    with pytest.raises(
        HilbertuneError,
        match=r"refuses 5 of 7 SMILES \(row 2, 'nonsense': not written as SMILES; row 3, ",
    ):
        usable_rows(MIXED)
    with pytest.raises(HilbertuneError, match=r"row 5, 'x': .*; and 3 more\): repair"):
        fingerprints(["x"] * 8 + ["C"])
    with pytest.raises(HilbertuneError, match="RDKit accepts none of the 1 SMILES"):
        usable_rows(["x"], invalid="skip")


# Scaffolds


def test_scaffolds_are_rings_and_what_links_them() -> None:
    molecules = ["Cc1ccccc1", "CCCO", "OCc1ccc(CCc2ccncc2)cc1", "C[C@H]1CCCO1"]
    assert scaffolds(molecules) == [
        "c1ccccc1",
        "",
        "c1ccc(CCc2ccncc2)cc1",
        "C1CCOC1",
    ]


RINGS = ["C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "c1ccccc1", "c1ccncc1", "c1ccoc1", "c1ccsc1"]


def decorated(counts: list[int]) -> list[str]:
    """`counts[i]` molecules with the ring RINGS[i] and chains of different lengths, ring by ring."""
    return ["C" * (length + 1) + RINGS[ring] for ring, n in enumerate(counts) for length in range(n)]


def test_the_largest_scaffolds_train_and_the_rarest_test() -> None:
    molecules = decorated([1, 2, 6, 1])  # rows 0 | 1-2 | 3-8 | 9
    split = scaffold_split(molecules, (0.6, 0.2, 0.2))
    assert split.train.tolist() == [3, 4, 5, 6, 7, 8]
    assert split.validation.tolist() == [1, 2]
    assert split.test.tolist() == [9, 0], "of two alike the later comes first, as in DeepChem"


def check_split(molecules: list[str], split: Split) -> None:
    """Independently stated: each row in one set, each ring in one set."""
    parts = [part.tolist() for part in (split.train, split.validation, split.test)]
    assert sorted(itertools.chain(*parts)) == list(range(len(molecules)))
    rings = [{molecules[row][molecules[row].index("1") - 1 :] for row in part} for part in parts]
    assert not rings[0] & rings[1]
    assert not rings[0] & rings[2]
    assert not rings[1] & rings[2]


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(1, 6), min_size=4, max_size=8),
    seed=st.none() | st.integers(0, 2**32),
)
def test_no_scaffold_is_in_two_sets(counts: list[int], seed: int | None) -> None:
    molecules = decorated(counts)
    try:
        split = scaffold_split(molecules, (0.6, 0.2, 0.2), seed)
    except HilbertuneError:  # a few large groups need not leave one for each set
        assert max(counts) > 1
        return
    check_split(molecules, split)
    assert len(split.train) <= 0.6 * len(molecules) + 1e-9
    again = scaffold_split(molecules, (0.6, 0.2, 0.2), seed)
    assert again.train.tolist() == split.train.tolist()


def test_many_small_groups_fill_the_shares() -> None:
    molecules = [f"C{ring[:-1]}{'C' * n}1" for ring in ("C1CC1",) for n in range(100)]
    for seed in (None, 0, 1):
        split = scaffold_split(molecules, seed=seed)
        assert (len(split.train), len(split.validation), len(split.test)) == (80, 10, 10)
    first, other = (scaffold_split(molecules, seed=seed).test.tolist() for seed in (0, 1))
    assert first != other, "a seed draws its own sets"


@pytest.mark.parametrize(
    ("molecules", "options", "message"),
    [
        (["C1CC1", "CCO"], {}, "2 scaffolds in 2 rows leave none to validate"),
        (["CCO", "CCC", "CC"], {}, "1 scaffolds in 3 rows leave none to train"),
        (["CCO"], {"shares": (0.8, 0.1, 0.2)}, "shares must be three numbers of at least 0 that add up"),
        (["CCO"], {"shares": (1.2, -0.1, -0.1)}, "shares must be three numbers"),
        (["CCO"], {"seed": -1}, "seed must be 0 or more"),
        (["x"], {}, "RDKit refuses 1 of 1 SMILES"),
    ],
)
def test_impossible_splits_are_refused(molecules: list[str], options: dict, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        scaffold_split(molecules, **options)


# Fingerprints and the head


@pytest.fixture(scope="module")
def task() -> tuple[np.ndarray, np.ndarray]:
    """2,048 bits of random chains, two kinds: those that end in an alcohol, and in an amine."""
    draw = np.random.default_rng(0)
    atoms = ["C", "C", "C(C)", "c1ccc(C)cc1", "O", "S", "C(=O)", "C(F)"]
    labels = np.arange(160) % 2
    molecules = ["C" + "C".join(draw.choice(atoms, 3)) + ("CO", "CN")[kind] for kind in labels]
    return fingerprints(molecules), labels


@pytest.mark.parametrize("projection", [None, "truncate", "random", "pca", "trainable"])
@pytest.mark.parametrize("basis", ["raw", "pca"])
def test_fingerprints_reach_six_qubits_by_every_projection(
    task: tuple[np.ndarray, np.ndarray],
    projection: Projection | None,
    basis: Basis,
) -> None:
    X, y = task
    model = HybridClassifier(qubits=6, projection=projection, basis=basis, epochs=25)
    if projection is None and basis == "raw":
        with pytest.raises(HilbertuneError, match=r"2048 numbers does not fit .* projection='truncate'"):
            model.fit(X, y)
        return
    model.fit(X[:120], y[:120])
    probabilities = model.predict_proba(X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    if "pca" in (projection, basis) or projection == "trainable":
        assert model.score(X[120:], y[120:]) >= 0.8, "the two kinds differ in their last atom"


def test_fingerprints_fit_twelve_qubits_as_they_are(task: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = task
    model = HybridClassifier(qubits=12, layers=1, reuploads=1, encoder_layers=1, epochs=60)
    model.fit(X[:120], y[:120])
    assert model.score(X[120:], y[120:]) >= 0.8
