"""The command line: every verb's answer, its flags, and what goes to stdout and to stderr."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.cli import demo
from hilbertune.config.records import PRESETS, HeadConfig, TrainingConfig
from hilbertune.data import files as reading
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.use import prediction

VERBS = [
    "fit",
    "demo",
    "evaluate",
    "predict",
    "explain",
    "export",
    "serve",
    "circuit",
    "study",
    "report",
    "doctor",
]
QPU_VERBS = ["backends", "estimate", "run", "resume", "status", "cancel", "results"]
SMALL = ["--qubits", "4", "--epochs", "3", "--no-baselines"]
SENTENCES = [("a b fine film", "good"), ("c d dull film", "bad")] * 10

Answer = tuple[int, str, str]
Run = Callable[..., Answer]


def in_a_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hilbertune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence transformer of random weights, 8 numbers wide."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = tmp_path_factory.mktemp("words")
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (words / "vocab.txt").write_text("\n".join([*special, *letters, *(f"##{c}" for c in letters)]))
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=57, num_hidden_layers=1, max_position_embeddings=64, **shape)).save_pretrained(
        words
    )
    BertTokenizerFast(str(words / "vocab.txt")).save_pretrained(words)
    folder = tmp_path_factory.mktemp("encoder")
    modules = [Transformer(str(words), max_seq_length=60), Pooling(8)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file with the columns text and label."""
    path = tmp_path_factory.mktemp("sentences") / "train.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *SENTENCES])
    return path


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 80 embeddings, 8 numbers wide, in two separate clouds."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    embeddings = rng.normal(size=(80, 8)) + 4 * labels[:, None] - 2
    path = tmp_path_factory.mktemp("vectors") / "x.npz"
    np.savez(path, embeddings=embeddings, labels=labels)
    return path


@pytest.fixture(scope="module")
def model(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of texts with the classes bad and good."""
    texts, labels = zip(*SENTENCES, strict=True)
    made = HybridClassifier(qubits=4, epochs=2, validation=0.0, embedding=str(encoder), basis="raw").fit(
        list(texts), list(labels)
    )
    return made.save_pretrained(tmp_path_factory.mktemp("models") / "model")


# Every verb


@pytest.mark.parametrize("verb", [*VERBS, *(f"qpu {verb}" for verb in QPU_VERBS), "energy measure", "energy breakeven"])
def test_the_help_of_a_verb_has_examples_that_can_be_copied(run: Run, verb: str) -> None:
    code, out, err = run(*verb.split(), "--help")
    assert (code, err) == (0, "")
    examples = re.findall(r"Example: (?:.* \| )?hilbertune ((?:qpu |energy )?\w+)(.*)$", out, re.MULTILINE)
    assert examples
    assert {name for name, _ in examples} == {verb}
    assert max(map(len, out.splitlines())) <= 80
    for _, arguments in examples:
        for flag in re.findall(r"--[a-z-]+", arguments.split(" -- ")[0]):
            assert flag in out.split("Options:")[1]


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_verbs(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    found = re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.MULTILINE)
    assert found == [*VERBS, "qpu", "energy"]


@pytest.mark.parametrize("arguments", [["qpu"], ["qpu", "--help"]])
def test_help_lists_the_verbs_of_the_qpu(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.MULTILINE) == QPU_VERBS


@pytest.mark.parametrize(
    ("verb", "records"),
    [("fit", (HeadConfig, TrainingConfig)), ("circuit", (HeadConfig,))],
)
def test_every_hyperparameter_has_a_flag_that_names_its_letter(run: Run, verb: str, records: tuple[Any, ...]) -> None:
    options = run(verb, "--help")[1].split("Options:")[1]
    entries = {entry.split()[0]: " ".join(entry.split()) for entry in re.split(r"\n  (?=--)", options) if entry.strip()}
    for record in records:
        for field in dataclasses.fields(record):
            entry = entries["--" + field.name.replace("_", "-")]
            if field.metadata["letter"]:
                assert f"Letter {field.metadata['letter']}." in entry
            assert "[default: " in entry


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit"], "Missing option '--out': see hilbertune fit --help."),
        (["nope"], "No such command 'nope': see hilbertune --help."),
        (["fit", "--qubit", "3", "--out", "m"], r"No such option: --qubit.*: see hilbertune fit"),
        (["circuit", "--qubits", "4.5"], "Invalid value for '--qubits': .*integer.*"),
        (["circuit", "--merge", "sum"], "Invalid value for '--merge': .*'concatenate'.*"),
        (["demo", "--seeds", "0"], "Invalid value for '--seeds': .*1.*"),
    ],
    ids=str,
)
def test_a_flag_that_cannot_be_read_is_one_sentence(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(f"error: {sentence}.*\n", err), err


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (HilbertuneError("Do this."), 2, "error: Do this.\n"),
        (HilbertuneError("Two\nlines."), 2, "error: Two lines.\n"),
        (KeyboardInterrupt(), 130, "Stopped. A training goes on from its last checkpoint"),
        (OSError(28, "No space left on device", "x"), 2, "error: x: No space left on device.\n"),
        (OSError("odd"), 2, "error: odd.\n"),
        (MemoryError(), 2, "error: The memory is full"),
    ],
    ids=repr,
)
def test_what_goes_wrong_ends_in_a_code_and_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    monkeypatch.setattr("hilbertune.cli.doctor.examine", raising(error))
    found, out, err = run("doctor")
    assert (found, out) == (code, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_a_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilbertune.cli.doctor.examine", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("doctor")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m hilbertune circuit --qubits 12 --layers 200 --format qasm3 | head -1; "
        "echo ${PIPESTATUS[0]}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.split() == [b"OPENQASM", b"3.0;", b"0"]
    assert done.stderr == b""


# circuit


def test_fig3_has_28_parameters(run: Run) -> None:
    code, out, err = run("circuit", "--qubits", 4, "--layers", 3, "--connectivity", 2, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["parameters"] == 28
    assert out.count("\n") == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_the_parameters_of_its_name(run: Run, preset: str) -> None:
    counts = json.loads(run("circuit", "--preset", preset, "--json")[1])
    assert counts["parameters"] == int(preset.split("-")[1])
    assert counts["preset"] == preset
    assert counts["final_linear_parameters"] == 4
    assert counts["encoder"]["qubits"] == counts["head"]["qubits"] == PRESETS[preset].qubits


def test_a_flag_changes_a_preset(run: Run) -> None:
    counts = json.loads(run("circuit", "--preset", "published-886", "--encoders", 1, "--json")[1])
    assert (counts["encoders"], counts["parameters"]) == (1, 886 - 14 * 26)


def test_qasm3_of_a_preset_is_its_head_and_can_be_read(run: Run) -> None:
    qasm3 = pytest.importorskip("qiskit.qasm3")
    pytest.importorskip("qiskit_qasm3_import")
    code, out, err = run("circuit", "--preset", "published-886", "--format", "qasm3")
    assert (code, err) == (0, "")
    circuit = qasm3.loads(out)
    assert circuit.num_qubits == 14
    assert circuit.count_ops()["measure"] == 1
    assert circuit.count_ops()["ry"] == 11 * 14 + 4 * 14


@pytest.mark.parametrize("part", ["ansatz", "encoder", "head"])
def test_a_part_is_printed_counted_and_drawn(run: Run, part: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    code, out, err = run("circuit", "--part", part, "--qubits", 3, "--draw", picture)
    assert (code, err) == (0, "")
    assert out.startswith(f"{part}: ")
    assert all(f"q{qubit}" in out for qubit in range(3))
    assert b"<svg" in picture.read_bytes()
    counts = json.loads(run("circuit", "--part", part, "--qubits", 3, "--json")[1])
    assert f"{counts['parameters']} parameters" in out


def test_a_model_is_printed_with_its_parameters(run: Run) -> None:
    out = run("circuit", "--part", "model", "--qubits", 3)[1]
    assert "encoder: " in out
    assert "head: " in out
    counts = json.loads(run("circuit", "--part", "model", "--qubits", 3, "--json")[1])
    assert out.splitlines()[-1].startswith(f"{counts['parameters']} parameters of the model")
    assert counts["preset"] is None


# fit


def test_fitting_texts_answers_with_validation_accuracy_parameters_and_seconds(
    run: Run, sentences: Path, encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shape = ["--qubits", 4, "--encoder-layers", 4, "--encoder-connectivity", 3]
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
        "config.json",
        "curves.csv",
        "environment.json",
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
    assert f"test accuracy: {figures['test_accuracy']['mean']:.4f}" in (out / "README.md").read_text()


def test_a_fit_prints_a_table_for_people(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "a [model]"  # square brackets are markup to rich
    code, answer, _ = run("fit", "--embeddings", vectors, "--test", vectors, *SMALL, "--seed", 5, "--out", out)
    assert code == 0
    assert "Test accuracy over 1 seed (68 rows to train, 12 to validate, 80 to test;" in answer
    assert "hybrid quantum head" in answer
    assert "needs 2 seeds" in answer
    assert "Validation accuracy " in answer
    assert f"Saved: {out} (seed 5, the best on validation)\n" in answer


def test_without_a_test_set_no_table_is_printed(run: Run, vectors: Path, tmp_path: Path) -> None:
    answer = run(
        *("fit", vectors, *SMALL, "--validation", 0, "--out", tmp_path / "model"),
    )[1]
    assert "hybrid quantum head" not in answer
    assert "Validation accuracy" not in answer
    assert "parameters, " in answer


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


# evaluate


def test_evaluate_answers_with_accuracy_and_confusion(run: Run, model: Path, sentences: Path) -> None:
    code, answer, err = run("evaluate", model, sentences, "--json")
    assert code == 0, err
    figures = json.loads(answer)
    assert figures["rows"] == 20
    assert figures["classes"] == ["bad", "good"]
    confusion = np.array(figures["confusion"])
    assert confusion.sum(1).tolist() == [10, 10]
    accuracy = figures["test_accuracy"]
    assert accuracy["mean"] == confusion.trace() / 20
    assert 0 <= accuracy["low"] <= accuracy["mean"] <= accuracy["high"] <= 1
    text = run("evaluate", model, sentences)[1]
    assert text.startswith(f"Test accuracy {accuracy['mean']:.4f} (95 % interval ")
    assert re.search(r"^ +good +\d+ +\d+$", text, re.MULTILINE)


def test_evaluate_takes_embeddings(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("fit", "--embeddings", vectors, *SMALL, "--out", out)[0] == 0
    assert json.loads(run("evaluate", out, vectors, "--json")[1])["rows"] == 80


def test_labels_that_are_words_match_words_that_look_like_numbers(run: Run, encoder: Path, tmp_path: Path) -> None:
    made = HybridClassifier(qubits=4, epochs=1, embedding=str(encoder), validation=0.0)
    made.fit(["a", "b", "c"], ["0", "1", "unsure"]).save_pretrained(tmp_path / "model")
    (tmp_path / "test.csv").write_text("text,label\na,0\nb,1\n")
    code, answer, err = run("evaluate", tmp_path / "model", tmp_path / "test.csv", "--json")
    assert code == 0, err
    assert np.array(json.loads(answer)["confusion"]).sum(1).tolist() == [1, 1, 0]


# predict


def labels_of(model: Path, texts: list[str]) -> list[str]:
    return HybridClassifier.from_pretrained(model).predict(texts).tolist()


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "jsonl", "stdin"])
def test_predictions_keep_the_order_of_every_kind_of_input(run: Run, model: Path, tmp_path: Path, suffix: str) -> None:
    texts = [f"{a} {b} text" for a in "abcdefg" for b in "hijk"]
    path = tmp_path / f"texts.{suffix}"
    if suffix in ("csv", "tsv"):
        separator = "," if suffix == "csv" else "\t"
        path.write_text("\n".join([f"id{separator}body", *(f"1{separator}{t}" for t in texts)]))
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps({"body": t}) for t in texts))
    else:
        path.write_text("\n".join(texts))
    source = "-" if suffix == "stdin" else path
    code, answer, err = run(
        *("predict", model, "--input", source, "--text", "body", "--json"),
        stdin=path.read_bytes(),
    )
    assert (code, err) == (0, "")
    predictions = json.loads(answer)["predictions"]
    assert answer.count("\n") == 1
    assert [p["label"] for p in predictions] == labels_of(model, texts)
    assert all(0.5 <= p["probability"] <= 1 for p in predictions)


def test_predictions_are_lines_for_people(run: Run, model: Path) -> None:
    code, answer, err = run("predict", model, stdin=b"a fine film\na dull film\n")
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in answer.splitlines()]
    assert [label for label, _ in rows] == labels_of(model, ["a fine film", "a dull film"])
    assert all(re.fullmatch(r"[01]\.\d{6}", probability) for _, probability in rows)


def test_stdin_is_read_a_piece_at_a_time(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[int] = []

    def stream(source: str, **_: Any) -> Iterator[list[str]]:
        for _ in range(3):
            yield ["a", "b"]
            printed.append(len(capsys.readouterr().out))

    monkeypatch.setattr(prediction, "stream_texts", stream)
    code, answer, _ = run("predict", model)
    assert (code, answer) == (0, "")
    assert len(printed) == 3
    assert min(printed) > 0, "each piece is printed before the next is read"


def test_a_mistake_late_in_a_file_is_found_before_anything_is_printed(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("fine\n" * 3000 + "\n")
    code, answer, err = run("predict", model, "--input", tmp_path / "texts.txt", "--json")
    assert (code, answer) == (2, "")
    assert err.startswith("error: Row 3001 of ")


def test_a_pipe_with_a_name_is_read_once(model: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m hilbertune predict {model} --input <(printf 'a fine film\\nb\\n')",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 2


def test_a_model_of_embeddings_does_not_take_texts(run: Run, vectors: Path, tmp_path: Path) -> None:
    made = HybridClassifier(qubits=3, epochs=1).fit(np.eye(6), [0, 1] * 3)
    made.save_pretrained(tmp_path / "model")
    code, answer, err = run("predict", tmp_path / "model", "--json", stdin=b"a text\n")
    assert (code, answer) == (2, "")
    assert "was trained on embeddings, not on texts" in err


def test_a_model_of_embeddings_predicts_those_of_a_file_without_labels(run: Run, tmp_path: Path) -> None:
    rows = np.vstack([np.eye(6), -np.eye(6)]).astype(np.float32)
    made = HybridClassifier(qubits=3, epochs=1).fit(rows, [0, 1] * 6)
    made.save_pretrained(tmp_path / "model")
    np.savez(tmp_path / "new.npz", embeddings=rows)
    code, answer, _ = run("predict", tmp_path / "model", "--input", tmp_path / "new.npz", "--json")
    assert code == 0
    labels = [row["label"] for row in json.loads(answer)["predictions"]]
    assert labels == made.predict(rows).tolist()


@pytest.mark.slow
def test_the_memory_of_predict_does_not_grow_with_its_input(model: Path) -> None:
    """Peak memory in KiB after 2,000 and after 60,000 lines."""
    program = (
        "import resource, sys; from hilbertune import cli\n"
        "try: cli.main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = []
    for lines in (2_000, 60_000):
        text = b"".join(b"line %d of a long stream of texts\n" % n for n in range(lines))
        done = subprocess.run(
            [sys.executable, "-c", program, "predict", str(model)],
            input=text,
            capture_output=True,
            timeout=600,
            check=True,
        )
        assert done.stdout.count(b"\n") == lines
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < peaks[0] + 30_000, f"peak memory in KiB: {peaks}"


# doctor and demo


def test_doctor_answers_with_its_checks(run: Run) -> None:
    code, answer, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    report = json.loads(answer)
    assert report["ok"] is True
    assert all(set(c) == {"name", "ok", "needed", "detail"} for c in report["checks"])
    text = run("doctor")[1]
    assert len(text.splitlines()) == len(report["checks"])
    assert text.startswith("ok      versions: Python 3.")


def test_a_failing_check_is_told_apart_from_an_absent_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        {"name": "cache", "ok": False, "needed": True, "detail": "full"},
        {"name": "extra data", "ok": False, "needed": False, "detail": "pip install it"},
    ]
    monkeypatch.setattr("hilbertune.cli.doctor.examine", lambda: checks)
    code, answer, _ = run("doctor")
    assert code == 1
    assert answer == "FAILS   cache: full\nabsent  extra data: pip install it\n"
    code, answer, _ = run("doctor", "--json")
    assert code == 1
    assert json.loads(answer) == {"ok": False, "checks": checks}


def test_the_demo_trains_tests_and_takes_a_free_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With vectors that are drawn instead of embedded, and two epochs."""
    from hilbertune.embedding import embedder as embedding

    class Drawn:
        fingerprint, truncated = "drawn", 0

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def embed(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
            progress(len(texts))
            return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)

        def record(self) -> dict[str, str]:
            return {"model": "drawn", "fingerprint": "drawn"}

    monkeypatch.setattr(embedding, "Embedder", Drawn)
    monkeypatch.setattr(demo, "HeadConfig", lambda: HeadConfig(qubits=4))
    monkeypatch.setattr(demo, "TrainingConfig", lambda: TrainingConfig(epochs=2))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hilbertune-demo").mkdir()
    code, answer, err = run("demo", "--seeds", 2, "--json")
    assert code == 0, err
    figures = json.loads(answer)
    assert figures["out"] == "hilbertune-demo-2"
    assert figures["rows"] == {"train": 435, "validation": 77, "test": 2000}
    assert len(figures["table"]) == 5
    assert (tmp_path / "hilbertune-demo-2" / "picture.png").is_file()


@pytest.mark.slow
def test_the_real_demo_beats_chance(tmp_path: Path) -> None:
    done = in_a_process("demo", "--seeds", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["test_accuracy"]["mean"] > 0.65
    assert (tmp_path / "hilbertune-demo" / "model.safetensors").is_file()


def test_a_process_prints_json_on_stdout_and_progress_on_stderr(vectors: Path, tmp_path: Path) -> None:
    done = in_a_process("fit", "--embeddings", vectors, *SMALL, "--out", tmp_path / "model", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seeds"] == [0]
    assert b"training" in done.stderr
    assert b"Warning" not in done.stderr


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


def test_a_classical_part_has_no_circuit_to_show(run: Run) -> None:
    code, _, err = run("circuit", "--part", "head", "--head", "dense", "--qubits", "4")
    assert code == 2
    assert "With --head dense there is no circuit of the head to show." in err
    code, out, _ = run("circuit", "--qubits", "4", "--no-entanglement", "--json")
    assert code == 0
    assert '"two_qubit_gates": 0' in out


# Studies


STUDY = """
title: A small study
data: {file: x.npz}
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 2, per_class: 20}
arms:
  - {name: quantum, tune: {learning_rate: [0.01, 0.05]}}
  - {method: logistic regression}
"""


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    x = rng.normal(size=(80, 9)) + labels[:, None]
    np.savez(tmp_path / "x.npz", embeddings=x.astype(np.float32), labels=labels)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_study_ends_in_a_table_sentences_and_a_report(run: Run, asked: Path) -> None:
    out = asked.parent / "out"
    code, text, _ = run("study", asked, "--out", out)
    assert code == 0
    assert re.search(r"quantum +0\.\d{4} +0\.\d{4} to [01]\.\d{4} +\d+ +2", text)
    assert "seeds" in text
    assert f"Report: {out / 'report.html'}" in text
    first = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    code, text, _ = run("report", out, "--json")
    assert (code, json.loads(text)) == (0, {"report": str(out / "report.html")})
    assert (out / "report.html").read_bytes() == first


def test_a_study_prints_json_and_takes_other_data(run: Run, asked: Path, tmp_path: Path) -> None:
    data = (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    code, text, _ = run("study", asked, "--data", data, "--out", tmp_path / "out", "--json")
    found = json.loads(text)
    assert code == 0
    assert [arm["name"] for arm in found["arms"]] == ["quantum", "logistic regression"]
    assert found["comparisons"][0]["against"] == "logistic regression"
    assert Path(found["report"]).is_file()


def test_a_dry_run_says_what_it_would_cost_and_does_nothing(run: Run, asked: Path, tmp_path: Path) -> None:
    code, text, _ = run("study", asked, "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert re.search(
        r"8 runs, of which 8 are missing, in 5 blocks: about 0\.\d minutes on this machine .*MB\.",
        text,
    )
    assert "quantum: 2 trial(s), " in text
    code, text, _ = run("study", asked, "--out", tmp_path / "out", "--dry-run", "--json", "--seeds", "3")  # fmt: skip
    assert json.loads(text)["runs"] == 12
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs:", "epoch:", "'epoch' is no key of 'settings': did you mean 'epochs'?"),
        ("data: {file: x.npz}", "", "names no data: add 'file' under 'data', or give --data."),
        ("x.npz", "absent.npz", "absent.npz"),
        ("per_class: 20", "per_class: 50", "Class 0 has 40 rows, fewer than per_class = 50"),
        ("projection: pca, ", "", "An embedding of 9 numbers does not fit the 7 amplitudes"),
    ],
)
def test_a_study_that_cannot_run_is_refused_before_it_starts(
    old: str, new: str, sentence: str, run: Run, asked: Path, tmp_path: Path
) -> None:
    asked.write_text(STUDY.replace(old, new))
    code, text, err = run("study", asked, "--out", tmp_path / "out")
    assert (code, text) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_report_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report", tmp_path)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
