"""Run directories that somebody touched: one sentence that names the file and the field, and no file changed."""

import json
import math
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers.qpu import Run, Trained
from helpers.vendors import Clock, Provider, Vendor, rows

from hilbertune.circuit.builders import parts
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import measurement
from hilbertune.hardware.arrays import parameters_of
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.hardware.outcomes import fault, wrong_order
from hilbertune.hardware.owner import Owner


@pytest.fixture(scope="module")
def finished(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of two batches that is done."""
    model, X, y = trained
    folder = tmp_path_factory.mktemp("runs") / "r"
    made = measurement.create_run(folder, model, X[:4], y[:4], Options(backend="qpu.forte-1", batch_circuits=2))
    executor = made.options.executor(folder, Provider(Vendor(Clock())), max_cost=100.0)
    executor.expectations(made.bound_circuits)
    executor.ledger.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that may be damaged, as it lies on a disk that no process uses."""
    shutil.copytree(finished, tmp_path / "r")
    return tmp_path / "r"


def sql(*commands: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = sqlite3.connect(folder / "ledger.sqlite")
        file.execute("PRAGMA writable_schema = ON")
        for command in commands:
            file.execute(command)
        file.commit()
        file.close()

    return change


def loose(table: str) -> tuple[str, ...]:
    """Return the commands that let a table hold values of any type."""
    return (
        f"CREATE TABLE other AS SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE other RENAME TO {table}",
    )


def about(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "run.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))

    return apply


def option(name: str, value: Any) -> Callable[[Path], None]:
    return about(lambda content: content["options"].update({name: value}))


def shape(name: str, value: Any) -> Callable[[Path], None]:
    return about(lambda content: content["head"].update({name: value}))


def arrays(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = safetensors.numpy.load_file(folder / "rows.safetensors")
        change(content)
        (folder / "rows.safetensors").write_bytes(safetensors.numpy.save(content))

    return apply


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return arrays(lambda content: content.update({name: np.ascontiguousarray(change(content[name]))}))


def content(name: str, text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(text) and None


def a_folder(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def a_pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def nan(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, math.nan)


LEDGER = [
    (content("ledger.sqlite", b""), "it is empty"),
    (content("ledger.sqlite", b"hello " * 100), "not a database"),
    (lambda folder: (folder / "ledger.sqlite").unlink(), "is missing, so nobody knows what was sent"),
    (a_folder("ledger.sqlite"), "it is not a file"),
    (a_pipe("ledger.sqlite"), "it is not a file"),
    (sql("DROP TABLE batches"), "no table 'batches'"),
    (sql("DROP TABLE results"), "no table 'results'"),
    (sql("DROP TABLE extras"), "no table 'extras'"),
    (sql("DELETE FROM run"), "does not name one run"),
    (sql("ALTER TABLE batches DROP COLUMN shots"), "no column 'shots'"),
    (sql("PRAGMA user_version = 99"), "of version 99.*upgrade hilbertune"),
    (sql("UPDATE run SET id = 'f00d'"), "ledger of another run"),
    (sql("UPDATE batches SET state = 'sleeping'"), r"batches.state of batch 1 is 'sleeping'"),
    (sql("UPDATE batches SET shots = -5"), r"batches.shots of batch 1 is -5"),
    (sql("UPDATE batches SET cost = -5"), r"batches.cost of batch 1 is -5"),
    (sql("UPDATE batches SET cost = 9e999"), r"batches.cost of batch 1 is inf"),
    (sql(*loose("batches"), "UPDATE batches SET shots = 'many'"), r"batches.shots of batch 1 is 'many'"),
    (sql(*loose("batches"), "UPDATE batches SET hash = NULL"), r"batches.hash of batch 1 is None"),
    (sql(*loose("batches"), "UPDATE batches SET job = x'00ff'"), r"batches.job of batch 1 is b"),
    (sql(*loose("batches"), "UPDATE batches SET sent_at = 'noon'"), r"batches.sent_at of batch 1 is 'noon'"),
]
RESULTS = [
    (sql("UPDATE results SET counts = 'hello'"), "results.counts of .* are not counts"),
    (sql("UPDATE results SET counts = '[1]'"), "are not counts"),
    (sql("UPDATE results SET counts = '{}'"), "are not counts"),
    (sql("""UPDATE results SET counts = '{"2": 1}'"""), "are not counts"),
    (sql("""UPDATE results SET counts = '{"0": NaN}'"""), "are not counts"),
    (sql("""UPDATE results SET counts = '{"0": -1}'"""), "are not counts"),
    (sql("""UPDATE results SET counts = '{"0": null}'"""), "are not counts"),
    (sql("""UPDATE results SET counts = '{"0": 0.5}'"""), "circuit 1 has outcomes that sum to 0.5"),
    (sql("""UPDATE results SET counts = '{"00": 1}'"""), "which is not 1 bits"),
    (sql("UPDATE results SET counts = '" + "[" * 9000 + "'"), "are not counts"),
    (sql("DELETE FROM results WHERE program = 1"), "circuit 2 has no counts"),
    (sql("UPDATE facts SET value = '7'"), "'provider' is not what was written there"),
    (sql("UPDATE facts SET value = '{'"), "is not JSON"),
]
ABOUT = [
    (content("run.json", b""), "not a complete run directory"),
    (content("run.json", b"[]"), "not a complete run directory"),
    (content("run.json", b"\xff\xfe"), "not a complete run directory"),
    (content("run.json", b"[" * 100_000), "not a complete run directory"),
    (content("run.json", b'{"format": NaN}'), "not a complete run directory"),
    (a_folder("run.json"), "not a complete run directory"),
    (a_pipe("run.json"), "not a complete run directory"),
    (about(lambda c: c.update(format="1")), "not a complete run directory"),
    (about(lambda c: c.update(format=9)), "format 9.*upgrade hilbertune"),
    (about(lambda c: c.update(format=2, members="two")), "members is 'two'"),
    (about(lambda c: c.update(format=2, members=10**9)), "members is 1000000000"),
    (about(lambda c: c.pop("options") and None), "it has no 'options'"),
    (about(lambda c: c.update(options=[1])), r"options is \[1\]"),
    (about(lambda c: c.update(head=None)), "head is None"),
    (about(lambda c: c.update(task="dance")), "task is 'dance'"),
    (about(lambda c: c.update(classes="ab")), "classes is 'ab'"),
    (about(lambda c: c.update(classes=[1, "a"])), "classes are not different labels"),
    (about(lambda c: c.update(classes=[[1]])), "classes are not different labels"),
    (about(lambda c: c.update(classes=[0])), "needs at least 2 classes"),
    (about(lambda c: c.update(run=7)), "run is 7"),
    (about(lambda c: c.update(run="../x")), r"run is '\.\./x'"),
    (option("shots", "many"), "shots must be int"),
    (option("shots", 10**30), "shots must be at least 1"),
    (option("shots", 0), "shots must be at least 1"),
    (option("shots", True), "shots must be int"),
    (option("scales", "1,3"), "scales must begin with 1"),
    (option("scales", [1, 10**9 + 1]), "scales must be odd numbers from 1 to 99"),
    (option("scales", []), "scales must begin with 1"),
    (option("scales", [[1]]), "scales must begin with 1"),
    (option("backend", 5), "backend must be str"),
    (option("backend", "a\nb"), "backend must be a name"),
    (option("gateset", "french"), "gateset must be one of"),
    (option("pricing", None), "pricing must be one of"),
    (option("seed", -1), "seed must be at least 0"),
    (option("readout_error", 0.7), "readout_error must be at least 0 and at most 0.5"),
    (option("batch_circuits", 0), "batch_circuits must be at least 1"),
    (option("check_circuit", "yes"), "check_circuit must be bool"),
    (option("colour", "red"), "'colour' is not a setting"),
    (about(lambda c: c.update(rows=[1, 2, 3, 0])), "rows are not different numbers of rows"),
    (about(lambda c: c.update(rows=[1, 2, 3, 3])), "rows are not different numbers of rows"),
    (about(lambda c: c.update(rows="first")), "rows are not different numbers of rows"),
    (shape("qubits", 10**9), "memory"),
    (shape("qubits", "four"), "qubits must be int"),
    (shape("head", "dense"), "its head is 'dense'"),
]
ROWS = [
    (about(lambda c: c.update(rows=[1, 2, 3])), "rows has 3 numbers for 4 rows"),
    (shape("reuploads", 1000), "weights has the shape"),
    (shape("layers", 1000), "weights has the shape"),
    (content("rows.safetensors", b""), "not a complete run directory"),
    (content("rows.safetensors", b"\xff" * 64), "not a complete run directory"),
    (a_folder("rows.safetensors"), "not a complete run directory"),
    (a_pipe("rows.safetensors"), "not a complete run directory"),
    (arrays(lambda c: c.pop("exact") is None), "exact is missing"),
    (arrays(lambda c: c.update(more=np.zeros(2))), "more is not an array of a run"),
    (array("weights", lambda v: v[:-1]), "weights has the shape"),
    (array("weights", nan), "weights has values that are not finite"),
    (array("weights", lambda v: v.astype(np.int64)), "weights has values that are not finite"),
    (array("angles", lambda v: v[:, 1:]), "angles has the shape"),
    (array("angles", nan), "angles has values that are not finite"),
    (array("exact", lambda v: v + 5), "expectations beyond 1"),
    (array("exact", lambda v: v[0]), "exact has the shape"),
    (array("linear", lambda v: v[:, :1]), "linear has the shape"),
    (array("truth", lambda v: v + 7), "names a class that run.json does not have"),
    (array("truth", lambda v: v[:, None]), "truth has the shape"),
    (array("truth", lambda v: v[:0]), "truth has the shape"),
]


def state_of(folder: Path) -> dict[str, bytes]:
    """Return the content of the run's own files."""
    names = ("ledger.sqlite", "run.json", "rows.safetensors")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


CASES = [
    *((damage, message, ("results", "resume", "cancel", "status")) for damage, message in [*LEDGER, *ABOUT]),
    *((damage, message, ("results", "resume")) for damage, message in RESULTS),
    *((damage, message, ("results", "resume", "status")) for damage, message in ROWS),
]


@pytest.mark.parametrize(("number", "damage", "message", "verbs"), [(n, *case) for n, case in enumerate(CASES)])
def test_a_run_directory_that_somebody_touched_is_refused_in_one_sentence(
    folder: Path, run: Run, number: int, damage: Callable[[Path], Any], message: str, verbs: tuple[str, ...]
) -> None:
    """Each damage with one verb, in turn; `test_every_verb...` is the whole table."""
    check_refused(folder, run, damage, message, verbs[number % len(verbs)])


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "message", "verbs"), CASES)
def test_every_verb_refuses_a_run_directory_that_somebody_touched(
    folder: Path, run: Run, damage: Callable[[Path], Any], message: str, verbs: tuple[str, ...]
) -> None:
    for place, verb in enumerate(verbs):
        check_refused(folder, run, damage if not place else lambda _: None, message, verb)


def check_refused(folder: Path, run: Run, damage: Callable[[Path], Any], message: str, verb: str) -> None:
    damage(folder)
    before = state_of(folder)
    code, answer, err = run("qpu", verb, folder)
    assert (code, answer) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert re.search(message, err), err
    assert state_of(folder) == before, "what may be all that is known of payments stays as it is"


def test_a_finished_run_needs_no_key_no_vendor_and_no_price(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IONQ_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")

    def no_vendor(self: Options, *_: Any) -> Any:
        asked.append("the vendor")
        raise HilbertuneError("There is no key for IonQ.")

    asked: list[str] = []
    monkeypatch.setattr(Options, "provider", no_vendor)
    figures = []
    for verb in ("results", "resume", "status", "cancel"):
        code, answer, err = run("qpu", verb, folder, "--json")
        assert code == 0, err
        figures.append(json.loads(answer))
        if verb == "status":
            assert "The vendor cannot be asked now: There is no key for IonQ." in err
            assert asked.pop() == "the vendor", "a job that was made twice may be listed late"
        assert not asked
    assert figures[0]["methods"] == figures[1]["methods"]
    assert figures[2]["batches"] == {"done": 2}
    assert figures[2]["billed"] == 4.0 * 6, "two circuits and one that checks, twice"


def test_a_run_has_one_owner_and_any_number_of_readers(folder: Path, run: Run) -> None:
    with sqlite3.connect(folder / "ledger.sqlite") as file:
        file.execute("UPDATE batches SET state = 'planned', attempts = 0 WHERE number = 2")
        file.execute("DELETE FROM results WHERE hash IN (SELECT hash FROM batches WHERE number = 2)")
    file.close()
    with Owner(folder).hold():
        code, _, err = run("qpu", "resume", folder)
        assert (code, "is in the hands of process" in err) == (2, True), err
        code, answer, err = run("qpu", "status", folder)
        assert (code, "batch 2: planned" in answer) == (0, True), err
        code, _, err = run("qpu", "results", folder)
        assert (code, "Batch 2 is planned" in err) == (2, True), err


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-cost", "nan"],
        ["--max-cost", "inf"],
        ["--max-cost", "-1"],
        ["--batch", "1"],
        ["--sent-as", "x", "--not-sent"],
        ["--accept", "1"],
        ["--not-sent", "--batch", "9"],
    ],
)
def test_flags_that_make_no_sense_are_refused(
    folder: Path, run: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Options, "provider", lambda self, *_: Provider(Vendor(Clock())))
    code, answer, err = run("qpu", "resume", folder, *flags)
    assert (code, answer) == (2, ""), err
    assert err.count("\n") == 1


def test_a_run_is_private_to_its_owner(folder: Path, finished: Path, run: Run) -> None:
    assert run("qpu", "results", folder)[0] == 0
    assert stat.S_IMODE(finished.stat().st_mode) == 0o700
    for name in ("ledger.sqlite", "run.json", "rows.safetensors", "results.json", "predictions.csv", "owner.lock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_a_stricter_umask_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        Ledger(tmp_path / "strict.sqlite").close()
    except HilbertuneError:
        pass  # root alone may write to what is read-only
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "strict.sqlite").stat().st_mode) == 0o400


@pytest.mark.parametrize(
    "settings",
    [{}, {"layers": 0}, {"layers": 0, "column": False}, {"shared_reupload": True}, {"connectivity": 2, "reuploads": 3}],
)
def test_weights_are_counted_without_a_circuit(settings: dict[str, Any]) -> None:
    shape = HeadConfig(qubits=4, encoder_layers=1, **settings)
    assert parameters_of(shape) == parts(shape)["head"].parameters


def test_a_stand_in_gives_the_hashes_of_the_vendor(folder: Path) -> None:
    made = measurement.read_run(folder)
    reader = made.reader()
    assert reader.finished(reader.groups(made.bound_circuits))
    assert not reader.finished(reader.groups(made.bound_circuits[:1]))
    with pytest.raises(HilbertuneError, match="is not asked here"):
        reader.provider.status("x")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "results for 0 circuits, not 1"),
        ([{}], "has no counts"),
        ([None], "has no counts"),
        ([{"00": 0.5, "11": 0.495}], "sum to 0.995"),
        ([{"00": 99, "11": 0}], "sum to 99"),
        ([{"0": 1.0}], "not 2 bits"),
        ([{"02": 1.0}], "not 2 bits"),
        ([{0: 1.0}], "not 2 bits"),
        ([{"00": math.nan}], "has nan of"),
        ([{"00": 1.5, "11": -0.5}], "has -0.5 of"),
        ([{"00": "1"}], "has 1 of"),
        ([{"00": True}], "has True of"),
        ([{"00": 0.5, "11": 0.5}], None),
        ([{"00": 40, "11": 60}], None),
        ([{"00": 1 / 3, "01": 1 / 3, "11": 0.333333}], None),
    ],
)
def test_counts_are_believed_as_far_as_they_can_be(counts: Any, message: str | None) -> None:
    found = fault(counts, rows(1), 100)
    assert found is None if message is None else message in str(found)


@pytest.mark.parametrize(
    ("counts", "right"),
    [
        ({"001": 0.6, "000": 0.4}, True),
        ({"001": 50, "101": 50}, True),
        ({"001": 0.4, "000": 0.6}, False),
        ({"100": 1.0}, False),
        ({"000": 1.0}, False),
    ],
)
def test_the_known_circuit_says_how_bits_are_ordered(counts: dict[str, float], right: bool) -> None:
    said = wrong_order(counts)
    assert (said is None) == right
    if counts == {"100": 1.0}:
        assert "reversed order" in str(said)
