"""The verb predict: every kind of input, in order, piece by piece, in constant memory."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import Run

from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.use import prediction


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


def test_a_text_on_the_command_line_is_answered_in_a_line(run: Run, model: Path) -> None:
    code, out, err = run("predict", model, "a b fine film")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"(good|bad) \(probability [01]\.\d\d\)\n", out)
    answers = json.loads(run("predict", model, "a b fine film", "c d dull film", "--json")[1])["predictions"]
    assert len(answers) == 2
    assert out.startswith(f"{answers[0]['label']} (probability {answers[0]['probability']:.2f})")
    table = run("predict", model, "a b fine film", "c d dull film")[1]
    assert re.search(r"\(probability [01]\.\d\d\)  c d dull film", table)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["", "--json"], "A text is empty"),
        (["a text", "--input", "x.txt"], "Give texts on the command line, or --input and --out, not both."),
        (["a text", "--out", "x.csv"], "Give texts on the command line, or --input and --out, not both."),
    ],
    ids=str,
)
def test_a_text_that_cannot_be_answered_is_refused(run: Run, model: Path, more: list[str], sentence: str) -> None:
    code, out, err = run("predict", model, *more)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {sentence}")


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
    for typed, stdin in (([], b"a text\n"), (["a text"], b"")):
        code, answer, err = run("predict", tmp_path / "model", *typed, "--json", stdin=stdin)
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
