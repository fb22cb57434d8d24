"""An ensemble on hardware: all of its heads are measured, priced, capped and averaged, and nothing is paid twice."""

import copy
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ionq_emulator import Emulator
from helpers.qpu import Run, backend

from hilbertune.config.noise import NOISE_PRESETS
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.hardware import ledger as ledger_module
from hilbertune.hardware import measurement
from hilbertune.hardware.adaptive import decide, least_leads
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.breakeven import read_ledgers, report
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.hardware.qiskit_provider import local
from hilbertune.hardware.recalibration import last_block, recalibrate, spsa_steps
from hilbertune.hardware.results import expected
from hilbertune.model import evaluation, tasks

SHAPE = {"qubits": 3, "basis": "pca", "encoder_layers": 1, "reuploads": 1, "layers": 1, "epochs": 20}


@pytest.fixture(scope="session")
def ensemble() -> tuple[HybridClassifier, np.ndarray, np.ndarray]:
    """Three heads of three classes, embeddings and labels."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = (rng.normal(size=(90, 6)) + 1.5 * np.eye(3, 6)[y]).astype(np.float32)
    return HybridClassifier(**SHAPE, learning_rate=0.03, members=3, random_state=0).fit(X, y), X, y


@pytest.fixture
def stored(ensemble: Any, tmp_path: Path) -> tuple[Path, Path]:
    model, X, y = ensemble
    np.savez(tmp_path / "test.npz", embeddings=X[:10], labels=y[:10])
    return model.save_pretrained(tmp_path / "model"), tmp_path / "test.npz"


def alone(model: HybridEstimator, member: int) -> HybridEstimator:
    """Return one head of an ensemble as a model of its own."""
    one = copy.deepcopy(model)
    one.head_ = model.head_.member(member)
    return one


@pytest.mark.parametrize(
    ("task", "final_linear"),
    [
        *((task, True) for task in ("classification", "one-vs-rest", "ordinal", "multi-label", "regression")),
        ("classification", False),
        ("ordinal", False),
    ],
)
def test_a_run_directory_averages_as_predictions_do(tmp_path: Path, task: Any, final_linear: bool) -> None:
    X = np.random.default_rng(1).normal(size=(24, 6)).astype(np.float32)
    classes = np.arange(24) % 3
    y: np.ndarray = {"regression": X[:, 0].astype(float), "multi-label": np.eye(3, dtype=int)[classes]}.get(
        task, classes
    )
    outputs = {"ordinal": 2, "regression": 1}.get(task, 3)
    more = {} if final_linear else {"final_linear": False, "measured_qubits": outputs}
    settings = {**SHAPE, "epochs": 1, "members": 3, "random_state": 0, "validation": 0.0, **more}
    model: HybridEstimator = (
        HybridRegressor(**settings) if task == "regression" else HybridClassifier(task=task, **settings)
    )
    model.fit(X, y)
    made = measurement.create_run(tmp_path / "r", model, X, y, Options(backend="local"))
    assert (made.members, made.exact.shape) == (3, (3, 24, model.head_.measured_qubits))
    assert len(made.bound_circuits) == 72
    right = evaluation.logits(model.head_, X)
    np.testing.assert_allclose(made.logits(made.exact), right, atol=1e-5)
    one = evaluation.logits(model.head_.member(0), X)
    assert np.abs(right - one).max() > 0.01, "heads that answer alike would hide one that is left out"


def test_only_an_ensemble_has_a_directory_of_the_second_format(
    ensemble: Any, tmp_path: Path, run: Run, stored: tuple[Path, Path]
) -> None:
    import safetensors.numpy

    model, X, y = ensemble
    shapes = []
    for name, own in (("one", alone(model, 0)), ("three", model)):
        made = measurement.create_run(tmp_path / name, own, X[:5], y[:5], Options(backend="local"))
        about = json.loads((tmp_path / name / "run.json").read_text())
        arrays = safetensors.numpy.load_file(tmp_path / name / "rows.safetensors")
        shapes.append((about["format"], about.get("members"), {k: v.ndim for k, v in arrays.items()}))
        again = measurement.read_run(tmp_path / name)
        for array in ("weights", "linear", "angles", "exact", "truth"):
            np.testing.assert_array_equal(getattr(again, array), getattr(made, array))
    assert shapes[0] == (1, None, {"weights": 1, "linear": 2, "angles": 2, "exact": 2, "truth": 1})
    assert shapes[1] == (2, 3, {"weights": 2, "linear": 3, "angles": 3, "exact": 3, "truth": 1})
    (tmp_path / "three" / "run.json").write_text(json.dumps({**about, "format": 3}))
    code, _, err = run("qpu", "status", tmp_path / "three")
    assert (code, "has the format 3, but this version reads 1 and 2: upgrade" in err) == (2, True)


def test_circuits_are_those_of_the_members_one_after_another(ensemble: Any, tmp_path: Path) -> None:
    model, X, _ = ensemble
    each = [measurement.bind_rows(alone(model, member), X[:4]) for member in range(3)]
    whole = measurement.bind_rows(model, X[:4])
    assert whole == [circuit for own in each for circuit in own]
    hashes = [
        [hash_ for hash_, _ in HardwareBackend(local(), tmp_path / str(n)).batches(own, 50)]
        for n, own in enumerate(each)
    ]
    jobs = HardwareBackend(local(), tmp_path / "all", batch_circuits=4).batches(whole, 50)
    assert [[hash_] for hash_, _ in jobs] == hashes


def test_many_shots_give_the_probabilities_of_the_simulator(ensemble: Any, tmp_path: Path) -> None:
    model, X, y = ensemble
    options = Options(backend="local", shots=40_000)
    made = measurement.create_run(tmp_path / "r", model, X[:12], y[:12], options)
    measured = made.by_member(options.executor(made.folder).expectations(made.bound_circuits))
    found = tasks.probabilities("classification", made.logits(measured))
    right = model.predict_proba(X[:12])
    np.testing.assert_allclose(found, right, atol=0.02)
    for member in range(3):
        assert np.abs(alone(model, member).predict_proba(X[:12]) - right).max() > 0.05


def test_the_noise_model_is_computed_for_every_member(ensemble: Any, tmp_path: Path) -> None:
    model, X, y = ensemble
    noise = NOISE_PRESETS["aria-2"]
    made = measurement.create_run(tmp_path / "all", model, X[:6], y[:6], Options())
    found = expected(made, noise, trajectories=10_000)
    assert np.abs(found - made.exact).max() > 0.01
    for member in range(3):
        one = measurement.create_run(tmp_path / str(member), alone(model, member), X[:6], y[:6], Options())
        np.testing.assert_allclose(
            found[member], expected(one, noise, trajectories=10_000)[0], atol=0.03 if member else 1e-12
        )


@pytest.mark.parametrize("pricing", ["vendor", "azure", "braket"])
def test_the_price_is_that_of_one_head_times_the_heads(
    run: Run, account: Emulator, ensemble: Any, stored: tuple[Path, Path], tmp_path: Path, pricing: str
) -> None:
    _, X, y = ensemble
    one = HybridClassifier(**SHAPE, learning_rate=0.03, random_state=0).fit(X, y).save_pretrained(tmp_path / "one")
    flags = ("--backend", "qpu.forte-1", "--shots", 300, "--pricing", pricing, "--no-check-circuit", "--json")
    answers = []
    for model in (one, stored[0]):
        code, answer, err = run("qpu", "estimate", model, stored[1], *flags)
        assert code == 0, err
        answers.append(json.loads(answer))
    for name in ("cost", "circuits", "shots", "one_qubit_gates", "two_qubit_gates"):
        assert answers[1][name] == pytest.approx(3 * answers[0][name], rel=1e-12)
        assert answers[0][name] > 0
    assert (answers[0].get("members"), answers[1]["members"]) == (None, 3)
    assert not account.created


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "3 heads x 10 rows = 30 circuits in 1 job(s), 6,000 shots"),
        (["--rows", 4, "--readout"], "3 heads x 4 rows + 2 for readout = 14 circuits"),
        (["--noise-scales", "1,3", "--readout"], "3 heads x 10 rows x 2 noise scales + 2 for readout = 62 circuits"),
    ],
)
def test_the_estimate_says_how_many_heads(run: Run, stored: tuple[Path, Path], flags: list[Any], words: str) -> None:
    code, answer, err = run("qpu", "estimate", *stored, "--backend", "local", "--shots", 200, *flags)
    assert code == 0, err
    assert answer.startswith(words)


def test_an_ensemble_runs_from_estimate_to_results_under_one_limit(
    run: Run, account: Emulator, stored: tuple[Path, Path], ensemble: Any, tmp_path: Path
) -> None:
    out, flags = tmp_path / "r", ("--backend", "qpu.forte-1", "--shots", 200, "--batch-circuits", 10)
    account.kwh = lambda qubits, circuits, shots: 1e-6 * qubits * circuits * shots
    cost = json.loads(run("qpu", "estimate", *stored, *flags, "--json")[1])["cost"]
    code, _, err = run("qpu", "run", *stored, *flags, "--max-cost", 0.7 * cost, "--out", out)
    assert (code, "above --max-cost" in err) == (2, True)
    code, _, err = run("qpu", "resume", out)
    assert (code, f"Spend {cost:,.2f} USD more? Nobody can confirm here" in err) == (2, True)
    code, _, err = run("qpu", "resume", out, "--max-cost", 0.7 * cost)
    assert (code, "raise --max-cost to go on" in err) == (2, True)
    assert not account.created, "the jobs of two members alone would be within the limit"
    code, answer, err = run("qpu", "resume", out, "--max-cost", cost)
    assert code == 0, err
    assert answer.startswith("The averaged answers of 3 heads on 10 rows:")
    assert len(account.created) == 3
    found = json.loads(run("qpu", "results", out, "--json")[1])
    assert (found["members"], found["rows"]) == (3, 10)
    assert (found["ledger"]["circuits"], found["ledger"]["shots"]) == (30, 6000)
    assert found["energy"]["joules_per_1000_predictions"] == pytest.approx(
        100 * found["ledger"]["joules_vendor_reported"]
    )
    model, X, y = ensemble
    assert found["methods"]["exact"]["metrics"]["accuracy"] == pytest.approx(model.score(X[:10], y[:10]))
    lines = (out / "predictions.csv").read_text().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("row,truth,exact prediction,exact head 1 <Z0>,")
    assert "hardware head 3 <Z2>" in lines[0]
    assert {len(line.split(",")) for line in lines} == {2 + 3 * (1 + 3 * 3)}
    status = run("qpu", "status", out)[1].splitlines()
    assert status[0] == "3 heads x 10 rows"
    assert len(status) == 6
    assert status[4].startswith("The run is done, 10 of 10 rows measured; 30 circuits, 6,000 shots, estimated ")
    assert json.loads(run("qpu", "status", out, "--json")[1])["members"] == 3


def test_the_picture_says_how_many_heads(ensemble: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.hardware import picture
    from hilbertune.hardware.results import write_results

    drawn: list[Any] = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: drawn.append(figure))
    model, X, y = ensemble
    for name, own in (("all", model), ("one", alone(model, 0))):
        made = measurement.create_run(tmp_path / name, own, X[:5], y[:5], Options(backend="local"))
        figures = write_results(made, made.exact, {})
        picture.draw_hardware(figures, made.exact, made.exact, tmp_path / "a.png")
    titles = [figure.axes[1].get_title() for figure in drawn]
    assert titles == ["accuracy of 3 heads on 5 rows, 95 % intervals", "accuracy on 5 rows, 95 % intervals"]
    points = [len(figure.axes[0].lines[1].get_xdata()) for figure in drawn]
    assert points[0] == 3 * points[1]


@pytest.mark.parametrize("step", ["sending after", "sent before", "keep before", "keep after"])
def test_a_killed_run_of_an_ensemble_loses_and_doubles_nothing(
    account: Emulator, ensemble: Any, tmp_path: Path, step: str
) -> None:
    """The run is killed while it deals with the job of the second member, then resumed."""
    model, X, y = ensemble
    options = Options(backend="qpu.forte-1", shots=50, batch_circuits=2)
    made = measurement.create_run(tmp_path / "r", model, X[:2], y[:2], options)
    asked = made.bound_circuits
    child = os.fork()
    if not child:  # without torch, whose threads do not survive a fork
        try:
            _kill_at_the_second(*step.split())
            backend(made.folder, shots=50, batch_circuits=2).expectations(asked)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    if step == "sending after":  # nobody knows whether it was sent, but a person who looks
        with pytest.raises(HilbertuneError, match="--batch 2 and --sent-as ID or --not-sent"):
            backend(made.folder, shots=50, batch_circuits=2).expectations(asked)
        assert len(account.created) == 1
        backend(made.folder).settle_by_hand(None)
    values = []
    for _ in range(2):
        again = backend(made.folder, shots=50, batch_circuits=2)
        values.append(made.by_member(again.expectations(asked)))
    np.testing.assert_array_equal(*values)
    right, mixed = (np.abs(np.roll(values[0], by, axis=0) - made.exact).mean() for by in (0, 1))
    assert right < 0.5 * mixed, "each member has its own counts"
    assert [(batch.state, batch.circuits) for batch in again.ledger.batches()] == [("done", 2)] * 3
    assert len(account.created) == 3, "the job of each member was created once"


def _kill_at_the_second(name: str, when: str) -> None:
    """Have this process killed before or after the second call of a method of the ledger."""
    real, calls = getattr(ledger_module.Ledger, name), []

    def deadly(*a: Any, **k: Any) -> Any:
        calls.append(name)
        if len(calls) < 2:
            return real(*a, **k)
        if when == "after":
            real(*a, **k)
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(ledger_module.Ledger, name, deadly)


@pytest.mark.parametrize("task", ["classification", "one-vs-rest"])
def test_rows_of_an_ensemble_are_decided_as_infinitely_many_shots_would(
    ensemble: Any, tmp_path: Path, task: Any
) -> None:
    model, X, y = ensemble
    if task != "classification":
        model = HybridClassifier(**SHAPE, learning_rate=0.03, members=2, task=task, random_state=0).fit(X, y)
    members = model.head_.members
    made = HardwareBackend(local(), tmp_path, shots=1)
    found = decide(model, made, X, first=256, most=8192)
    allowed = {members * 256 * 2**n for n in range(6)}
    assert set(found.shots.tolist()) <= allowed
    assert 0.3 < found.decided.mean() < 1
    assert (found.shots[~found.decided] == members * 8192).all()
    assert found.shots[found.decided].min() < members * 8192
    right = model.predict(X)
    assert (model.classes_[found.classes[found.decided]] == right[found.decided]).mean() >= 0.95
    np.testing.assert_allclose(found.logits, evaluation.logits(model.head_, X), atol=0.6)
    spent = sum(batch.circuits * batch.shots for batch in made.ledger.batches())
    assert spent == found.shots.sum()


def test_the_least_lead_is_that_of_the_worst_corner() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        gaps, bounds = rng.normal(1, 2, size=(2, 3)), rng.uniform(0, 2, size=(2, 3))
        corners = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 1, 3)
        d = gaps + corners * bounds
        right = ((1 - np.exp(-d)) / (1 + np.exp(-d).sum(2, keepdims=True))).min(0)
        np.testing.assert_allclose(least_leads(gaps, bounds), right, rtol=1e-9)
    far = least_leads(np.full((1, 2), -5e3), np.ones((1, 2)))
    np.testing.assert_allclose(far, -0.5, atol=0.51)


def test_each_member_is_recalibrated_as_it_would_be_alone(account: Emulator, ensemble: Any, tmp_path: Path) -> None:
    """The ideal simulator of the cloud has no shot noise, so that both see the same expectations."""
    model, X, y = ensemble
    found = recalibrate(model, backend(tmp_path / "all", "simulator"), X[:20], y[:20])
    assert (found.circuits, found.shots) == (60, 6000)
    losses = []
    for member in range(3):
        one = recalibrate(alone(model, member), backend(tmp_path / str(member), "simulator"), X[:20], y[:20])
        np.testing.assert_allclose(
            found.model.head_.linear_weight[member].detach(), one.model.head_.linear_weight[0].detach(), atol=1e-5
        )
        assert not torch.equal(one.model.head_.linear_weight[0], model.head_.linear_weight[member])
        losses.append(one.losses)
    np.testing.assert_allclose(found.losses, np.mean(losses, 0), rtol=1e-6)


def test_spsa_moves_the_last_block_of_every_member_within_its_budget(ensemble: Any, tmp_path: Path) -> None:
    model, X, y = ensemble
    results = []
    for _ in range(2):  # the second finds everything in the ledger
        made = HardwareBackend(local("forte-1"), tmp_path, shots=50)
        results.append(spsa_steps(model, made, X[:20], y[:20], steps=2, shots_per_step=1300))
        jobs = len(made.ledger.batches())
    assert jobs == 2
    assert (results[0].circuits, results[0].shots) == (2 * 2 * 3 * 4, 2 * 1200)
    after, before = (one.head_.head.weights.detach() for one in (results[0].model, model))
    assert torch.equal(after, results[1].model.head_.head.weights)
    moved = after != before
    last = last_block(model.head_)
    assert moved[:, last].all()
    assert moved.sum() == 3 * len(last)
    steps = (after - before)[:, last]
    assert not torch.equal(steps[0].sign(), steps[1].sign()), "each member has signs of its own"
    with pytest.raises(HilbertuneError, match="one row twice for each of 3 heads with 50 shots each: allow 300"):
        spsa_steps(model, made, X, y, shots_per_step=299)


def test_breakeven_counts_the_circuits_of_all_members(tmp_path: Path) -> None:
    """A ledger of three heads has three times the circuits and kilowatt-hours; a circuit takes what it takes."""
    runs = []
    for members in (1, 3):
        for qubits in (4, 8):
            folder = tmp_path / f"{members} {qubits}"
            book = Ledger(folder / "ledger.sqlite")
            book.plan("h", "qpu.forte-1", 2 * members, 1000, (1, 1), 5.0, qubits)
            book.sending("h")
            book.sent("h", "job")
            book.keep("h", {n: {"0": 1.0} for n in range(2 * members)})
            book.charge("job", 6.0, 0.001 * qubits * members)
            book.close()
            (folder / "run.json").write_text(json.dumps({"format": 1} if members == 1 else {"format": 2, "members": 3}))
            runs.append(folder)
    points = read_ledgers(runs)
    assert [p.members for p in points] == [None, None, 3, 3]
    assert [p.value for p in points] == pytest.approx([4 * 1800, 8 * 1800] * 2)
    simulated = read_ledgers(runs[:2])
    figures = [report({"given": ("joules", simulated)}, ("joules", own), 1000) for own in (points[:2], points[2:])]
    assert figures[0]["simulators"] == figures[1]["simulators"], "the same break-even"
    assert figures[1]["qpu"]["points"][0]["members"] == 3
    notes = [any("A prediction of 3 heads takes 3 circuits" in note for note in own["notes"]) for own in figures]
    assert notes == [False, True]
