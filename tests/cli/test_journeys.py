"""Whole journeys from fit to prediction: a base that learns, other tasks and items, classical parts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import QUICK, SMALL, Run, fitted, write_table

MOLECULES = [
    "CCO",
    "CCN",
    "CCC",
    "c1ccccc1",
    "c1ccccc1O",
    "c1ccccc1N",
    "C1CCCCC1",
    "C1CCCCC1O",
    "c1ccncc1",
    "c1ccncc1C",
    "C1CCNCC1",
    "C1CCNCC1C",
    "c1ccoc1",
    "c1ccsc1",
    "C1CCOC1",
    "CCCl",
    "CCBr",
    "CCF",
    "CC=O",
    "CC#N",
]


@pytest.mark.parametrize("tune", ["contrastive", "joint"])
def test_a_tuned_model_is_tested_beside_classical_heads_and_used_in_every_way(
    run: Run, films: Path, tiny_models: dict[str, Path], tmp_path: Path, tune: str
) -> None:
    out = tmp_path / "model"
    figures = fitted(
        run,
        films,
        "--test",
        films,
        "--tune",
        tune,
        "--contrastive-steps",
        3,
        "--tuning-epochs",
        1,
        "--embedding",
        tiny_models["encoder"],
        "--seeds",
        2,
        "--out",
        out,
    )
    methods = [row["method"] for row in figures["table"]]
    assert methods[:2] == ["hybrid quantum head", "logistic regression"]
    assert figures["seeds"] == [0, 1]
    assert (out / "base/model.safetensors").exists()
    assert not list(out.rglob("*.bin"))
    code, answer, err = run("evaluate", out, films, "--json")
    assert code == 0, err
    assert json.loads(answer)["rows"] == 24

    code, answer, err = run("explain", out, "w1 good film", "--draw", tmp_path / "a.png", "--json")
    assert code == 0, err
    assert [word for word, _ in json.loads(answer)["words"]] == ["w1", "good", "film"]
    assert (tmp_path / "a.png").stat().st_size > 10_000

    code, _, err = run("predict", out, "--input", films, "--out", tmp_path / "answers.csv")
    assert code == 0, err
    assert "24 rows" in err
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert len(rows) == 24
    assert {row["label"] for row in rows} <= {"positive", "negative"}


def test_molecules_are_split_by_scaffold_and_bad_ones_named_or_skipped(run: Run, tmp_path: Path) -> None:
    rows = [(smiles, i % 2) for i, smiles in enumerate(MOLECULES)]
    path = write_table(tmp_path / "m.csv", ["smiles", "label"], [*rows, ("not a molecule", 1)])
    flags = (path, "--text", "smiles", "--embedding", "morgan:radius=2,bits=64", "--projection")
    flags += ("random", "--split-by", "scaffold")
    code, _, err = run("fit", *flags, *QUICK, "--out", tmp_path / "model")
    assert code == 2
    assert "21" in err, "the row is named"
    figures = fitted(run, *flags, "--invalid", "skip", "--out", tmp_path / "model")
    assert sum(figures["rows"].values()) == 20
    code, answer, err = run("predict", tmp_path / "model", "--json", stdin=b"CCO\nc1ccccc1\n")
    assert code == 0, err
    assert len(json.loads(answer)["predictions"]) == 2


def test_a_scale_a_number_and_several_labels(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 6)).astype(np.float32)
    for task, labels in {
        "ordinal": np.digitize(vectors[:, 0], [-0.5, 0.5]),
        "regression": vectors[:, 0] * 3 + 7,
        "multi-label": (vectors[:, :2] > 0).astype(int),
    }.items():
        path, out = tmp_path / f"{task}.npz", tmp_path / task
        np.savez(path, embeddings=vectors, labels=labels)
        figures = fitted(run, "--embeddings", path, "--task", task, "--test", path, "--seeds", 2, "--out", out)
        row = figures["table"][0]
        leading = {"ordinal": "quadratic_kappa", "regression": "r2", "multi-label": "micro_f1"}[task]
        assert len(row["metrics"][leading]["values"]) == 2
        code, answer, err = run("evaluate", out, path, "--json")
        assert code == 0, err
        measured = json.loads(answer)["metrics"][leading]
        saved = figures["seeds"].index(figures["saved_seed"])
        assert measured == pytest.approx(row["metrics"][leading]["values"][saved])
        code, answer, err = run("predict", out, "--input", path)
        assert code == 0, err
        assert len(answer.splitlines()) == 60


def test_pairs_of_texts(run: Run, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    rows = [(f"w{i} good", f"w{i} {w}", w) for i in range(10) for w in ("good", "bad")]
    path = write_table(tmp_path / "pairs.csv", ["premise", "hypothesis", "label"], list(rows))
    columns = ("--text", "premise", "--text-pair", "hypothesis")
    out = tmp_path / "model"
    fitted(
        run,
        path,
        *columns,
        "--pairs",
        "u,v,|u-v|",
        "--projection",
        "pca",
        "--embedding",
        tiny_models["encoder"],
        "--out",
        out,
    )
    code, answer, err = run("evaluate", out, path, *columns, "--json")
    assert code == 0, err
    assert json.loads(answer)["rows"] == 20
    code, answer, err = run("predict", out, "--input", path, *columns, "--out", tmp_path / "a.txt")
    assert code == 0, err
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 20


@pytest.mark.parametrize("flags", [["--encoder", "linear", "--head", "dense"], ["--head", "none"]])
def test_a_model_with_classical_parts_is_fitted_saved_and_evaluated(flags: list[str], run: Run, asked: Path) -> None:
    data, out = asked.parent / "x.npz", asked.parent / "model"
    shape = ["--projection", "truncate", *flags]
    code, text, _ = run("fit", "--embeddings", data, *SMALL, *shape, "--out", out, "--json")
    assert code == 0
    assert json.loads(text)["picture"]
    code, text, _ = run("evaluate", out, data, "--json")
    assert code == 0
    assert json.loads(text)["test_accuracy"]["mean"] > 0.3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tune", "joint", "--embeddings", "x.npz"], "texts"),
        (["--tune", "joint", "--tuned-layers", "2", "--lora-rank", "2"], "leave out either"),
        (["--task", "regression", "--class-weight", "balanced"], "number"),
        (["--text-pair", "nothing"], "nothing"),
        (["--split-by", "scaffold"], "RDKit refuses 24 of 24"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    run: Run, films: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    np.savez(tmp_path / "x.npz", embeddings=np.ones((4, 3)), labels=[0, 1, 0, 1])
    flags = [str(tmp_path / f) if f == "x.npz" else f for f in flags]
    data = [] if "--embeddings" in flags else [films]
    code, out, err = run("fit", *data, *flags, *QUICK, "--out", tmp_path / "model")
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "model").exists()
