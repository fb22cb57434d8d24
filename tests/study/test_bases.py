"""Studies on a folder of bases: each run is that of a study on the one file of its base and seed, and bit for bit."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import TESTED, TRAINED, read, rows, same

from hilbertune.errors import HilbertuneError
from hilbertune.study import estimate, plan, running, training
from hilbertune.study.bases import read_bases

ROWS, WIDTH, SEEDS = 100, 12, 2

BOTH = """
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, basis: pca, epochs: 2, per_class: 20, shots: 64}
arms:
  - {name: "quantum, {base}", cross: {base: [frozen, a+b]}, tune: {learning_rate: [1.0e-3, 0.05]}}
  - {name: "ensemble, {base}", cross: {base: [frozen, a+b]}, members: 2, training_shots: 16, shots: null}
  - {name: "LR, {base}", method: logistic regression, cross: {base: [frozen, a+b]}, trials: 2}
  - {name: "MLP, {base}", method: MLP 0, cross: {base: [frozen, a+b]}, trials: 2}
conditions: {shots: [16]}
"""


def write(folder: Path, name: str, seed: int, *, count: int = ROWS, width: int = WIDTH, **other: Any) -> None:
    """Write a file of two classes, with embeddings of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    embeddings = (rng.normal(size=(count, width)) + labels[:, None]).astype(np.float16)
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", **{"embeddings": embeddings, "labels": labels, **other})


@pytest.fixture
def bases(tmp_path: Path) -> Path:
    """Return a folder of a frozen base, and of one that was tuned for each of three seeds."""
    folder = tmp_path / "bases"
    write(folder, "frozen", 100)
    for seed in range(3):
        write(folder, f"a+b-{seed}", seed)
    return folder


def file_data(file: Path) -> plan.Data:
    with np.load(file) as arrays:
        return plan.Data(arrays["embeddings"].astype(np.float32), arrays["labels"], [0, 1], file.name)


def without_bases(base: str) -> str:
    """Return the study of one base, its arms as they would be written for a single file."""
    return BOTH.replace("cross: {base: [frozen, a+b]}, ", "").replace("{base}", base)


def table(directory: Path) -> dict[str, Any]:
    """Return what the tables say of each run, and of its tests."""
    tests: dict[str, list[Any]] = {}
    for run, *test in rows(directory, TESTED):
        tests.setdefault(run, []).append(test)
    return {run: (known, tests.get(run)) for run, *known in rows(directory, TRAINED)}


def test_every_run_is_that_of_a_study_on_its_own_file(bases: Path, tmp_path: Path) -> None:
    asked = read(tmp_path, BOTH)
    data = read_bases(bases, asked)
    assert data.embeddings.shape == (3 * ROWS, WIDTH)
    together = running.run_study(asked, data, tmp_path / "together")
    found = table(tmp_path / "together")
    tested: dict[str, list[float]] = {}
    for base, seed in (("frozen", 0), ("frozen", 1), ("a+b", 0), ("a+b", 1)):
        file = bases / ("frozen.npz" if base == "frozen" else f"{base}-{seed}.npz")
        alone = read(tmp_path, without_bases(base).replace("seeds: 2", f"seeds: [{seed}]"))
        results = running.run_study(alone, file_data(file), tmp_path / f"{base}, {seed}")
        own = table(tmp_path / f"{base}, {seed}")
        assert len(own) == 2 + 1 + 2 + 2
        # The weights and curves of each run, by the same name; a single seed may choose another trial to be tested.
        for run, (known, tests) in own.items():
            assert found[run][0] == known
            assert tests is None or found[run][1] in (None, tests)
        for arm in results["arms"]:
            if arm["name"].startswith("ensemble"):
                tested.setdefault(arm["name"], []).extend(arm["test"])
    assert len(found) == 4 * 7
    assert {arm["name"]: arm["test"] for arm in together["arms"] if arm["name"] in tested} == tested
    assert together["data"] | {"source": ""} == {
        "source": "", "rows": ROWS, "features": WIDTH, "classes": ["0", "1"], "train": 34, "validation": 6, "test": 60
    }  # fmt: skip


def test_runs_of_all_bases_and_seeds_train_side_by_side(bases: Path, tmp_path: Path) -> None:
    asked = read(tmp_path, BOTH)
    planned = plan.expand(asked, read_bases(bases, asked))
    runs = [run for tried in planned.values() for of_trial in tried for run in of_trial]
    hybrid = [block for block in plan.grouped(runs) if block[0].method == plan.HYBRID]
    assert [len(block) for block in hybrid] == [2 * 2 * 2, 2 * 2]
    assert [len(block) for block in plan.grouped(hybrid[0] * 5)] == [16, 16, 8]


def test_a_seed_has_the_same_rows_on_every_base(bases: Path, tmp_path: Path) -> None:
    data = read_bases(bases, read(tmp_path, BOTH))
    one = plan.split_for({"per_class": 20}, file_data(bases / "a+b-1.npz"), 1)
    for base in ("frozen", "a+b"):
        split = plan.split_for({"per_class": 20, "base": base}, data, 1)
        start = data.block(base, 1).start
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(split, part) - start, getattr(one, part))


def test_a_block_learns_from_the_rows_of_its_runs_alone(bases: Path, tmp_path: Path) -> None:
    asked = read(tmp_path, BOTH)
    data = read_bases(bases, asked)
    block = plan.expand(asked, data)["quantum, a+b"][0]
    embeddings, labels, splits = training._rows_of(block, data)
    assert len(embeddings) == len(labels) == 2 * 40
    for run, split in zip(block, splits, strict=True):
        whole = plan.split_for(run.settings, data, run.seed)
        np.testing.assert_array_equal(embeddings[split.train], data.embeddings[whole.train])
        np.testing.assert_array_equal(labels[split.validation], data.labels[whole.validation])


def test_more_seeds_and_bases_run_the_new_ones_only(bases: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    query = "SELECT id, finished || hex(weights) FROM runs"
    fewer = read(tmp_path, BOTH.replace("[frozen, a+b]", "[a+b]"))
    running.run_study(fewer, read_bases(bases, fewer), out)
    before = dict(rows(out, query))
    assert len(before) == 14
    more = read(tmp_path, BOTH, seeds=3)
    running.run_study(more, read_bases(bases, more), out)
    after = dict(rows(out, query))
    assert len(after) == 3 * 14
    assert before.items() <= after.items()
    # A base that was tuned anew for one seed runs that seed again, and no other.
    write(bases, "a+b-2", 77)
    assert estimate.estimate_study(more, read_bases(bases, more), out)["missing"] == 7


def test_only_the_files_of_the_arms_and_seeds_are_read(bases: Path, tmp_path: Path) -> None:
    (bases / "a+b-2.npz").write_bytes(b"broken")
    (bases / "joint-0.npz").write_bytes(b"broken")
    asked = read(tmp_path, BOTH)
    assert set(read_bases(bases, asked).blocks) == {(base, seed) for base in ("frozen", "a+b") for seed in range(2)}
    with pytest.raises(HilbertuneError, match=r"a\+b-2\.npz is not a valid"):
        read_bases(bases, read(tmp_path, BOTH, seeds=3))


def test_quantum_arms_are_compared_on_their_own_base(bases: Path, tmp_path: Path) -> None:
    asked = read(tmp_path, BOTH, seeds=3)
    results = running.run_study(asked, read_bases(bases, asked), tmp_path / "out")
    arms = {arm["name"]: arm for arm in results["arms"]}
    wanted = []
    for kind in ("quantum", "ensemble"):
        for base in ("frozen", "a+b"):
            # The best one on validation comes first; of equals that is the one listed first.
            rivals = sorted((f"LR, {base}", f"MLP, {base}"), key=lambda name: -np.mean(arms[name]["validation"]))
            wanted += [(f"{kind}, {base}", rival) for rival in rivals if rival == rivals[0] or rival.startswith("LR")]
    assert [(c["name"], c["against"]) for c in results["comparisons"]] == wanted
    for compared in results["comparisons"]:
        difference = np.mean(np.subtract(arms[compared["name"]]["test"], arms[compared["against"]]["test"]))
        assert compared["difference"] == pytest.approx(difference)
    # Holm's correction counts all of them.
    smallest = min(c["p_permutation"] for c in results["comparisons"])
    assert min(c["p_holm"] for c in results["comparisons"]) == pytest.approx(min(1.0, len(wanted) * smallest))
    assert {arm["group"] for arm in results["arms"]} == {"quantum", "ensemble", "LR", "MLP"}


def test_one_arm_may_be_named_to_compare_all_with(bases: Path, tmp_path: Path) -> None:
    asked = read(tmp_path, 'against: "LR, frozen"\n' + BOTH, seeds=3)
    results = running.run_study(asked, read_bases(bases, asked), tmp_path / "out")
    assert {c["against"] for c in results["comparisons"]} == {"LR, frozen"}
    assert len(results["comparisons"]) == 7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "a+b-1.npz").unlink(),
         r"bases has no base 'a\+b' for seed 1: neither a\+b\.npz, for all seeds, nor a\+b-1\.npz\.$"),
        (lambda folder: write(folder, "frozen-0", 1),
         r"bases has frozen\.npz, for all seeds, and frozen-0\.npz, for one: remove one of them\.$"),
        (lambda folder: write(folder, "a+b-1", 1, count=98),
         r"a\+b-1\.npz has 98 rows of 12 numbers, and .*frozen\.npz has 100 of 12: all files .* rows and width\.$"),
        (lambda folder: write(folder, "a+b-1", 1, width=11),
         r"a\+b-1\.npz has 100 rows of 11 numbers, and .*frozen\.npz has 100 of 12: "),
        (lambda folder: write(folder, "a+b-1", 1, labels=np.arange(ROWS)[::-1] % 2),
         r"a\+b-1\.npz has other labels than .*frozen\.npz: all files .* in the same order\.$"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"),
         r"need a folder of bases as the data: .*bases does not exist\.$"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_is_one_sentence(change: Any, sentence: str, bases: Path, tmp_path: Path) -> None:
    change(bases)
    with pytest.raises(HilbertuneError, match=sentence):
        read_bases(bases, read(tmp_path, BOTH))


def test_bases_need_a_folder_and_a_folder_needs_bases(bases: Path, tmp_path: Path) -> None:
    asked, plain = read(tmp_path, BOTH), read(tmp_path, without_bases("x"))
    mixed = read(tmp_path, BOTH.replace("conditions:", "  - {name: no base}\nconditions:"))
    with pytest.raises(HilbertuneError, match=r"bases is a folder of bases: the arm 'quantum, x' must name its 'base'"):
        read_bases(bases, plain)
    with pytest.raises(HilbertuneError, match=r"the arm 'no base' must name its 'base'\.$"):
        read_bases(bases, mixed)
    with pytest.raises(HilbertuneError, match=r"need a folder of bases as the data: .*frozen\.npz is a file\.$"):
        read_bases(bases / "frozen.npz", asked)
    data = read_bases(bases, asked)
    with pytest.raises(HilbertuneError, match=r"needs a folder of bases as the data: frozen\.npz is none\.$"):
        plan.expand(asked, file_data(bases / "frozen.npz"))
    with pytest.raises(HilbertuneError, match=r"the arm 'no base' must name its 'base'\.$"):
        plan.expand(mixed, data)
    with pytest.raises(HilbertuneError, match=r"bases has no base 'frozen' for seed 2\.$"):
        plan.expand(read(tmp_path, BOTH, seeds=3), data)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "..", "a b", "", "x" * 101, 3, True, ["a"]])
def test_a_base_is_a_name_and_no_path(name: Any, tmp_path: Path) -> None:
    text = BOTH.replace("settings: {", f"settings: {{base: {name!r}, ".replace("True", "true"))
    text = text.replace("cross: {base: [frozen, a+b]}, ", "").replace("{base}", "x")
    with pytest.raises(HilbertuneError, match="base is the name of a base, of letters, digits"):
        read(tmp_path, text)


@pytest.mark.parametrize("part", ["tune", "search"])
def test_validation_does_not_choose_a_base(part: str, tmp_path: Path) -> None:
    text = "mode: search\n" * (part == "search") + f"arms: [{{name: q, {part}: {{base: [frozen, joint]}}}}]"
    with pytest.raises(HilbertuneError, match="'base' is not chosen on validation: put it into an arm"):
        read(tmp_path, text)


def test_a_base_that_is_null_is_none(tmp_path: Path, data: plan.Data) -> None:
    text = without_bases("x")
    first, other = (read(tmp_path, one) for one in (text, text.replace("settings: {", "settings: {base: null, ")))
    assert plan.expand(other, data) == plan.expand(first, data)


def test_what_is_left_to_the_data_is_chosen_by_the_base(bases: Path, tmp_path: Path) -> None:
    text = "seeds: 1\nsettings: {epochs: 1, per_class: 20}\narms:\n"
    text += '  - {name: "{base}", auto: true, cross: {base: [frozen, unit]}}\n'
    text += '  - {name: "LR, {base}", method: logistic regression, cross: {base: [frozen, unit]}}\n'
    with np.load(bases / "frozen.npz") as arrays:
        vectors = arrays["embeddings"].astype(np.float32)
    write(bases, "unit-0", 0, embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    asked = read(tmp_path, text)
    planned = plan.expand(asked, read_bases(bases, asked))
    assert planned["frozen"][0][0].settings["norm"] == "keep"
    assert "norm" not in planned["unit"][0][0].settings


@pytest.mark.slow
def test_workers_train_the_same_runs(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    asked = read(tmp_path, BOTH)
    data = read_bases(bases, asked)
    running.run_study(asked, data, tmp_path / "here")
    running.run_study(asked, data, tmp_path / "there", workers=2)
    assert same(tmp_path / "here", tmp_path / "there")


def test_a_search_on_a_base_begins_anew_when_the_base_changes(bases: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    text = """
mode: search
search: {trials: 2, sampler: random}
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, basis: pca, epochs: 2, per_class: 20, base: a+b}
arms: [{name: quantum, search: {learning_rate: {low: 0.001, high: 0.1}}}]
"""
    asked, out = read(tmp_path, text, seeds=2), tmp_path / "out"
    running.run_study(asked, read_bases(bases, asked), out)
    assert len(rows(out, "SELECT * FROM runs")) == 4
    write(bases, "a+b-1", 77)
    running.run_study(asked, read_bases(bases, asked), out)
    assert len(rows(out, "SELECT * FROM runs")) == 6


def test_a_name_of_a_base_is_shown_where_an_arm_is_crossed(tmp_path: Path) -> None:
    asked = read(tmp_path, BOTH)
    assert [arm.name for arm in asked.arms[:2]] == ["quantum, frozen", "quantum, a+b"]
    assert not any(re.search("[{}]", arm.name) for arm in asked.arms)
