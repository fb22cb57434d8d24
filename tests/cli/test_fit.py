"""The verb fit: texts, embeddings, test sets, and what is printed and saved."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import SENTENCES, SMALL, Run, in_a_process
from sklearn.linear_model import LogisticRegression

from hilbertune.config.records import PRESETS, TrainingConfig
from hilbertune.data import files as reading
from hilbertune.data.splits import few_shot_split
from hilbertune.estimator.classifier import HybridClassifier


def test_fitting_texts_answers_with_validation_accuracy_parameters_and_seconds(
    run: Run, sentences: Path, encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shape = ["--qubits", 4, "--encoder-layers", 4, "--encoder-connectivity", 3, "--reuploads", 4]
    code, answer, err = run(
        *("fit", sentences, "--text", "text", "--label", "label", *shape),
        *("--padding", "constant", "--epochs", 3, "--seeds", 3, "--embedding", encoder),
        *("--out", out, "--json"),
    )
    assert code == 0, err
    figures = json.loads(answer)
    assert answer.count("\n") == 1
    assert set(figures["validation_accuracy"]) == {"mean", "low", "high", "values"}
    assert len(figures["validation_accuracy"]["values"]) == 3
    assert figures["test_accuracy"] is None
    assert figures["parameters"] == 4 * 13 + 11 * 4 + 4
    assert figures["seconds"] > 0
    assert figures["classes"] == ["bad", "good"]
    assert figures["out"] == str(out)
    assert "embedding" in err
    assert "training" in err
    assert HybridClassifier.from_pretrained(out).predict(["a b fine film"]).tolist() in (
        ["bad"],
        ["good"],
    )


def test_fitting_embeddings_tests_on_the_rest_beside_the_baselines(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "model"
    code, answer, err = run(
        *("fit", "--embeddings", vectors, "--per-class", 20, "--test-rest", "--seeds", 3),
        *("--qubits", 4, "--epochs", 3, "--out", out, "--json"),
    )
    assert code == 0, err
    figures = json.loads(answer)
    assert {"mean", "low", "high"} <= set(figures["test_accuracy"])
    assert figures["rows"] == {"train": 34, "validation": 6, "test": 40}
    assert [row["kind"] for row in figures["table"]] == ["quantum"] + ["classical"] * 4
    assert sorted(f.name for f in out.iterdir()) == [
        "README.md",
        "circuit.png",
        "config.json",
        "curves.csv",
        "environment.json",
        "fit.yaml",
        "model.safetensors",
        "picture.png",
        "results.json",
    ]
    results = json.loads((out / "results.json").read_bytes())
    assert results == {k: v for k, v in figures.items() if k not in ("out", "picture")}
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert len(rows) == 3 * 3
    assert {row["seed"] for row in rows} == {"0", "1", "2"}
    accuracy = figures["test_accuracy"]
    own = accuracy["values"][figures["seeds"].index(figures["saved_seed"])]
    assert f"| test accuracy | {own:.4f} | {accuracy['mean']:.4f} |" in (out / "README.md").read_text()


def test_an_ensemble_is_fitted_evaluated_and_saved_as_one_model(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    flags = ("--members", 3, "--bootstrap", "--seeds", 2, "--per-class", 20, "--test-rest")
    code, answer, err = run("fit", "--embeddings", vectors, *SMALL, *flags, "--out", out, "--json")
    assert code == 0, err
    figures = json.loads(answer)
    assert len(figures["test_accuracy"]["values"]) == 2
    made = HybridClassifier.from_pretrained(out)
    assert (made.members, made.bootstrap, made.head_.members) == (3, True, 3)
    assert figures["parameters"] == made.head_.parameter_count == 3 * made.head_.member(0).parameter_count
    tested = json.loads(run("evaluate", out, vectors, "--json")[1])
    data = np.load(vectors)
    assert tested["test_accuracy"]["mean"] == made.score(data["embeddings"], data["labels"])


def test_each_seed_of_an_ensemble_stands_on_its_own_tuned_base(
    run: Run, sentences: Path, encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    code, answer, err = run(
        *("fit", sentences, "--test", sentences, "--embedding", encoder, *SMALL, "--out", out, "--json"),
        *("--tune", "contrastive", "--contrastive-steps", 3, "--members", 3, "--seeds", 2),
    )
    assert code == 0, err
    figures = json.loads(answer)
    made = HybridClassifier.from_pretrained(out)
    texts, labels = zip(*SENTENCES, strict=True)
    place = figures["seeds"].index(figures["saved_seed"])
    assert figures["test_accuracy"]["values"][place] == made.score(list(texts), list(labels))
    assert figures["parameters"] == made.head_.parameter_count
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert {(row["seed"], row["member"]) for row in rows} == {(s, m) for s in "01" for m in "123"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--bootstrap"], "set members to 2 or more"),
        (["--members", 65], "at most 64"),
        (["--members", 2, "--tune", "joint"], "members share a base"),
    ],
)
def test_impossible_ensembles_are_refused_in_one_sentence(
    run: Run, sentences: Path, encoder: Path, tmp_path: Path, flags: list[Any], sentence: str
) -> None:
    code, _, err = run("fit", sentences, "--embedding", encoder, *SMALL, *flags, "--out", tmp_path / "model")
    assert code != 0
    assert sentence in err
    assert not (tmp_path / "model").exists()


def test_a_fit_prints_a_table_for_people(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "a [model]"  # square brackets are markup to rich
    code, answer, _ = run("fit", "--embeddings", vectors, "--test", vectors, *SMALL, "--seed", 5, "--out", out)
    assert code == 0
    assert "Test accuracy over 1 seed (68 rows to train, 12 to validate, 80 to test;" in answer
    assert "hybrid quantum head" in answer
    assert "One seed gives no interval: use --seeds 3 or more." in answer
    assert re.search(r"method +macro f1 +roc auc *\n", answer)
    assert "Validation accuracy " in answer
    assert f"Saved: {out} (seed 5, the best on validation)\n" in answer


def test_without_a_test_set_no_table_is_printed(run: Run, vectors: Path, tmp_path: Path) -> None:
    answer = run(
        *("fit", vectors, *SMALL, "--validation", 0, "--out", tmp_path / "model"),
    )[1]
    assert "hybrid quantum head" not in answer
    assert "Validation accuracy" not in answer
    assert "parameters, " in answer
    assert "(seed 0, the first, as nothing was validated)\n" in answer


@pytest.mark.parametrize("flag", ["--baselines", "--no-baselines"])
def test_a_plain_classical_head_that_did_better_is_told_of(run: Run, vectors: Path, tmp_path: Path, flag: str) -> None:
    # Frozen angles and a rate near 0: a head that learns nothing.
    idle = ["--qubits", 4, "--epochs", 1, "--frozen", "--learning-rate", 1e-6]
    code, answer, err = run(
        *("fit", "--embeddings", vectors, "--per-class", 20, "--test-rest", "--seeds", 3, *idle, flag),
        *("--out", tmp_path / "model", "--json"),
    )
    assert code == 0, err
    figures = json.loads(answer)
    found = figures["classical_did_better"]
    assert set(found) == {"name", "metric", "points", "sentence"}
    assert (found["name"], found["metric"]) == ("logistic regression", "accuracy")
    with np.load(vectors) as file:
        x, y = file["embeddings"], file["labels"]
    plain = []
    for seed in range(3):
        split = few_shot_split(y.tolist(), per_class=20, seed=seed)
        regression = LogisticRegression().fit(x[split.train], y[split.train])
        plain.append(regression.score(x[split.validation], y[split.validation]))
    difference = np.mean(plain) - figures["validation_accuracy"]["mean"]
    assert difference > 0
    assert found["points"] == pytest.approx(100 * difference)
    assert err.rstrip().endswith(found["sentence"])
    assert found["sentence"].startswith("On the 6 validation rows (mean of 3 seeds) logistic regression is right on ")
    assert json.loads((tmp_path / "model" / "results.json").read_bytes())["classical_did_better"] == found


def test_nothing_is_told_of_a_classical_head_without_validation(run: Run, vectors: Path, tmp_path: Path) -> None:
    code, answer, err = run("fit", vectors, *SMALL, "--validation", 0, "--out", tmp_path / "model", "--json")
    assert code == 0
    assert json.loads(answer)["classical_did_better"] is None
    assert "regression" not in err


def test_flags_and_presets_reach_the_model(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code, _, err = run(
        *("fit", "--embeddings", vectors, "--preset", "published-374", *SMALL, "--out", out),
        *("--encoder-connectivity", 2, "--shots", 50, "--learning-rate", 0.01, "--no-column"),
        *("--gradient", "parameter-shift", "--final-linear", "--patience", 2),
    )
    assert code == 0, err
    made = HybridClassifier.from_pretrained(out)
    assert (made.qubits, made.encoder_layers, made.encoder_connectivity) == (4, 5, 2)
    assert (made.padding, made.basis, made.column) == ("zero", "raw", False)
    assert (made.shots, made.gradient, made.learning_rate) == (50, "parameter-shift", 0.01)
    assert (made.epochs, made.patience) == (3, 2)


def test_what_no_flag_sets_is_chosen_by_the_data_and_said_in_one_line(
    run: Run, vectors: Path, sentences: Path, encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    code, _, err = run(
        *("fit", "--embeddings", vectors, "--epochs", 1, "--reuploads", 2, "--qubits", "auto"),
        *("--training-shots", "none", "--no-standardise", "--basis", "auto", "--no-baselines", "--out", out),
    )
    assert code == 0, err
    assert (
        "Chosen for 8 numbers a row: --qubits 4 --encoder-layers 8 --constant-share 0.7 --basis pca --scale none "
        "--norm keep --learning-rate 0.02 --schedule one-cycle --keep last --exact-start 0.0 " in " ".join(err.split())
    )
    made = HybridClassifier.from_pretrained(out)
    assert (made.qubits, made.reuploads, made.norm, made.schedule) == (4, 2, "keep", "one-cycle")
    assert (made.training_shots, made.standardise) == (None, False)
    texts = ["fit", sentences, "--embedding", encoder, "--epochs", 1, "--no-baselines", "--out", tmp_path / "texts"]
    code, _, err = run(*texts)
    assert code == 0, err
    # What comes from an embedding model is no table, whatever its length.
    assert "--scale none --norm drop" in " ".join(err.split())


def test_with_a_preset_nothing_is_left_to_the_data_unless_a_flag_says_so(
    run: Run, vectors: Path, tmp_path: Path
) -> None:
    arguments = ["fit", "--embeddings", vectors, "--preset", "published-374", "--epochs", 1, "--no-baselines"]
    code, _, err = run(*arguments, "--out", tmp_path / "plain")
    assert code == 0, err
    assert "Chosen" not in err
    made = HybridClassifier.from_pretrained(tmp_path / "plain")
    assert made.head_.config == PRESETS["published-374"]
    assert made.training_config_ == TrainingConfig(epochs=1)
    code, _, err = run(*arguments, "--learning-rate", "auto", "--schedule", "one-cycle", "--out", tmp_path / "changed")
    assert code == 0, err
    assert "Chosen for 8 numbers a row: --learning-rate 0.02\n" in err


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--qubits", "many", "'many' is not a whole number or auto"),
        ("--qubits", "none", "'none' is not a whole number or auto"),
        ("--learning-rate", "fast", "'fast' is not a number or auto"),
        ("--training-shots", "few", "'few' is not a whole number or auto or none"),
        ("--training-shots", "0", "--training-shots must be at least 1, not 0"),
        ("--scale", "yes", "'yes' is not one of"),
    ],
)
def test_a_flag_takes_a_number_or_auto(run: Run, tmp_path: Path, flag: str, value: str, sentence: str) -> None:
    code, _, err = run("fit", "absent.csv", flag, value, "--out", tmp_path / "m")
    assert code == 2
    assert sentence in " ".join(err.split())


def test_the_test_set_is_another_split_of_a_dataset(
    run: Run, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def read(source: str, *, split: str, **_: Any) -> reading.Labelled:
        asked.append((source, split))
        texts, labels = map(list, zip(*SENTENCES, strict=True))
        return reading.Labelled(labels, texts, None, source)

    monkeypatch.setattr(reading, "read_labelled", read)
    code, _, err = run(
        *("fit", "some/set", "--test", "some/set", *SMALL, "--embedding", encoder),
        *("--out", tmp_path / "model"),
    )
    assert code == 0, err
    assert asked == [("some/set", "train"), ("some/set", "test")]


def test_a_shape_that_does_not_fit_is_refused_before_all_rows_are_embedded(
    run: Run, sentences: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilbertune.embedding.embedder import Embedder

    embedded: list[int] = []
    original = Embedder.embed

    def embed(self: Embedder, texts: list[str], **options: Any) -> np.ndarray:
        embedded.append(len(texts))
        return original(self, texts, **options)

    monkeypatch.setattr(Embedder, "embed", embed)
    shape = ["--qubits", 3, "--encoder-connectivity", 2, "--basis", "raw"]
    code, _, err = run("fit", sentences, *shape, "--embedding", encoder, "--out", tmp_path / "model")
    assert code == 2
    assert err.startswith("error: An embedding of 8 numbers does not fit the 7 amplitudes")
    assert embedded == [1]


def test_a_long_text_is_told_of_on_stderr(run: Run, encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("text,label\n" + f"{'word ' * 50},0\nshort,1\n" * 4)
    code, answer, err = run(*("fit", path, *SMALL, "--embedding", encoder, "--out", tmp_path / "model", "--json"))
    assert code == 0, err
    json.loads(answer)
    assert "longer than the embedding model takes and were cut" in " ".join(err.split())


def test_a_process_prints_json_on_stdout_and_progress_on_stderr(vectors: Path, tmp_path: Path) -> None:
    done = in_a_process("fit", "--embeddings", vectors, *SMALL, "--out", tmp_path / "model", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seeds"] == [0]
    assert b"training" in done.stderr
    assert b"Warning" not in done.stderr


@pytest.mark.parametrize("held_out", [[1.5], [2.5, 2.5, 2.5]], ids=["one row", "equal targets"])
def test_a_test_set_that_leaves_a_metric_undefined_costs_no_model(
    run: Run, tmp_path: Path, held_out: list[float]
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", embeddings=rng.normal(size=(40, 8)), labels=rng.normal(size=40))
    np.savez(tmp_path / "t.npz", embeddings=rng.normal(size=(len(held_out), 8)), labels=np.array(held_out))
    asked = ("--task", "regression", "--test", tmp_path / "t.npz", "--qubits", 4, "--epochs", 2)
    code, answer, err = run("fit", "--embeddings", tmp_path / "x.npz", *asked, "--out", tmp_path / "m")
    assert (code, "Saved: " in answer) == (0, True), err
    assert "R² is undefined: it needs two different numbers in the test set." in answer
    figures = json.loads((tmp_path / "m" / "results.json").read_bytes())
    for row in figures["table"]:
        assert row["metrics"]["r2"] is row["metrics"]["spearman"] is None
        assert row["metrics"]["rmse"]["mean"] >= 0
    assert (tmp_path / "m" / "picture.png").exists()
    assert "test r2: undefined on these rows" in (tmp_path / "m" / "README.md").read_text()
    code, answer, err = run("evaluate", tmp_path / "m", tmp_path / "t.npz", "--json")
    assert json.loads(answer)["metrics"]["r2"] is None


def test_a_place_that_is_taken_while_the_model_trains_costs_no_model(
    run: Run, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilbertune.study import experiment

    right = experiment.run_experiment

    def trained(*arguments: Any, **options: Any) -> Any:
        (tmp_path / "m").write_text("in the way")
        return right(*arguments, **options)

    monkeypatch.setattr(experiment, "run_experiment", trained)
    code, answer, err = run("fit", "--embeddings", vectors, *SMALL, "--out", tmp_path / "m", "--json")
    assert code == 2
    assert json.loads(answer)["out"] == str(tmp_path / "m-2")
    assert f"m already exists: name another place or remove it first. The result is in {tmp_path}/m-2 instead." in err
    HybridClassifier.from_pretrained(tmp_path / "m-2")


@pytest.mark.parametrize("out", ["", ".", "..", "/", "/dev/null", "/dev/stdout", "x" * 300, "/proc/model"])
def test_a_place_where_nothing_can_be_saved_is_refused_before_the_data_are_read(run: Run, out: str) -> None:
    for asked in (
        ("fit", "no.csv", "--out", out),
        ("demo", "--out", out),
        ("circuit", "--draw", f"{out}/below.png" if out in ("/dev/null", "/proc/model", "x" * 300) else out),
    ):
        code, answer, err = run(*asked)
        assert (code, answer) == (2, "")
        assert err.startswith("error: ")
        assert "no.csv" not in err
        assert err.count("\n") == 1
