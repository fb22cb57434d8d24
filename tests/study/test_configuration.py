"""Reading a study: what a configuration means, and what is said of a mistake."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import SCREENING, SEARCH, SMALL, made_up, read

from hilbertune.circuit.builders import parts
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError
from hilbertune.study.configuration import read_study
from hilbertune.study.plan import configs, expand


def test_a_size_changes_what_it_names(tmp_path: Path) -> None:
    text = SMALL + "sizes: {quick: {seeds: [4], settings: {epochs: 1}, arms: [{method: k-NN, budget: 9}]}}\n"
    quick = read(tmp_path, text, size="quick")
    assert quick.seeds == [4]
    assert [arm.name for arm in quick.arms] == ["k-NN"]
    assert quick.arms[0].settings["epochs"] == 1
    assert quick.arms[0].settings["qubits"] == 3
    assert read(tmp_path, text, size="quick", seeds=3).seeds == [0, 1, 2]
    with pytest.raises(HilbertuneError, match="no size 'quik': choose from full, quick"):
        read(tmp_path, text, size="quik")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds:", "sedes:", "'sedes' is not a key of a study: did you mean 'seeds'"),
        ("epochs:", "epoch:", "'epoch' is not a key of 'settings': did you mean 'epochs'"),
        ("cross: {qubits", "cross: {qubit", "'qubit' is not a key of 'cross': did you mean 'qubits'"),
        ("learning_rate: [1e-3", "learning_rat: [1e-3", "did you mean 'learning_rate'"),
        ("method: logistic regression", "method: logistic regresion", "did you mean 'logistic regression'"),
        ("[2, 3]", "2", "'qubits' under 'cross' must be a list"),
        ("[2, 3]", "[2, 0]", "qubits must be at least 1, not 0"),
        ("qubits: 3,", "qubits: auto, layers: auto,", "layers must be int, not 'auto'"),
        ("tune:", "auto: 3\n    tune:", "'auto' of an arm is true or false, not 3"),
        ("1e-3", "-1.0", "learning_rate must be above 0"),
        ("{qubits} qubits", "{qbits} qubits", "did you mean 'qubits'"),
        ("seeds: 2", "seeds: []", "seeds must be a number of seeds"),
        ("seeds: 2", "seeds: [-1]", "seeds must be a number of seeds"),
        ("epochs: 2,", "epochs: 2, noise: forte-2,", "no noise 'forte-2': did you mean 'forte-1'"),
        ("title:", "against: 4 qubits\ntitle:", "'against' names no arm: did you mean '"),
        ("title:", "conditions: {shot: [1]}\ntitle:", "did you mean 'shots'"),
        ("title:", "conditions: {shots: [0]}\ntitle:", "shots must be at least 1"),
        ("title:", "design: {factors: {qubits: [2]}}\ntitle:", "list of two levels"),
        ("title:", "sizes: {quick: {sed: 1}}\ntitle:", "no size"),
        ("matched linear", "logistic regression", "Two arms are named 'logistic regression'"),
        ("{method: matched linear}", "{method: k-NN, tune: {qubits: [1]}}", "trials of its own"),
        ("arms:", "arms: [", "is not valid YAML"),
        ("seeds: 2", "seeds: true", "seeds must be a number of seeds up to 10,000"),
        ("seeds: 2", "seeds: 1000000000", "seeds must be a number of seeds up to 10,000"),
        ("seeds: 2", "seeds: [1, 1]", "a list of different seeds"),
        ("seeds: 2", "seeds: 2.5", "not 2.5"),
        ("per_class: 20", "per_class: many", "per_class must be a number from 1 to 100,000,000, or null, not 'many'"),
        ("per_class: 20", "per_class: [2]", "per_class must be a number"),
        ("per_class: 20", "validation: 1.5", "validation must be at least 0 and below 1, not 1.5"),
        ("per_class: 20", "validation: null", "validation must be float, not None"),
        ("per_class: 20", "noise: [1]", "noise is the name of a device"),
        ("{method: matched linear}", "{method: k-NN, per_class: x}", "per_class must be a number"),
        ("{method: matched linear}", "{method: k-NN, trials: [1]}", r"'arms\[2\].trials' should be a whole number"),
        ("{method: matched linear}", "null", r"'arms\[2\]' should be a table of keys and values, not None"),
        ("{method: matched linear}", "{name: true}", r"'arms\[2\].name' should be a text, not True"),
        ("title:", "published: [{what: p, value: high}]\ntitle:", r"'published\[0\].value' should be a number"),
        ("title:", "published: 3\ntitle:", "'published' should be a list, not 3"),
        ("title:", "figure: {kind: pie}\ntitle:", "'figure.kind' should be 'bars', 'line' or 'effects', not 'pie'"),
        ("title:", "conditions: {noise: {a: 1}}\ntitle:", "noise is the name of a device, or null, not {'a': 1}"),
        ("title: A small study", 'title: "\\ud800"', r"'title' holds the character U\+D800"),
        ("{qubits} qubits", "{qubits:>99999999}", "cannot show qubits so"),
        ("{qubits} qubits", "{qubits.real}", "has no setting 'qubits.real'"),
        ("seeds: 2", "seeds: 2\nseeds: 3", "the key 'seeds' stands twice"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_nearest_name(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    assert old in SMALL
    with pytest.raises(HilbertuneError, match=sentence) as caught:
        read(tmp_path, SMALL.replace(old, new), size="x" if "quick" in new else "full")
    assert "\n" not in str(caught.value)
    assert "s.yaml" in str(caught.value), "the file is named"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mode: search", "mode: grid", "need 'mode: search'"),
        ("mode: search", "mode: hunt", "grid or search"),
        ("sampler: tpe", "sampler: tpo", "did you mean 'tpe'"),
        ("trials: 8", "trials: 0", "whole number"),
        ("trials: 8", "trials: 8, objectives: [accurcy]", "did you mean 'accuracy'"),
        ("trials: 8", "trials: 8, objectives: [accuracy, depth], prune: true", "accuracy alone"),
        ("low: 1.0e-4", "low: -1.0", "must be above 0"),
        ("high: 0.1", "high: 1.0e-9", "'low' below"),
        ("high: 0.1", "hihg: 0.1", "did you mean 'high'"),
        ("reuploads", "reupload", "did you mean 'reuploads'"),
    ],
)
def test_a_mistake_in_a_search_is_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        read(tmp_path, SEARCH.replace(old, new))


def test_a_study_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="has no arms"):
        read(tmp_path, "title: x\n")
    with pytest.raises(HilbertuneError, match="does not hold a study"):
        read(tmp_path, "- x\n")
    with pytest.raises(HilbertuneError, match=r"Cannot read the study .*No such file"):
        read_study(tmp_path / "absent.yaml")


def test_a_screening_design_is_balanced_and_its_factors_are_independent(tmp_path: Path) -> None:
    asked = read(tmp_path, SCREENING)
    rows = [arm for arm in asked.arms if arm.group == "design"]
    signs = np.array([[arm.factors[f] == levels[1] for f, levels in asked.factors.items()] for arm in rows])
    assert (signs.mean(0) == 0.5).all()
    assert np.allclose(np.cov(1.0 * signs.T), np.diag(np.diag(np.cov(1.0 * signs.T))))


def test_the_accuracy_study_has_the_published_grid() -> None:
    file = Path(__file__).parents[2] / "studies" / "accuracy-against-qubits.yaml"
    asked = read_study(file)
    single = asked.arms[0]
    assert [arm.factors["qubits"] for arm in asked.arms[:5]] == [10, 12, 14, 16, 18]
    assert single.tune == {"learning_rate": [0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.005]}
    assert asked.arms[5].tune == {
        "learning_rate": [0.001, 0.0015, 0.0025, 0.003, 0.005],
        "learning_rate_decay": [1.0, 0.99],
    }
    head, training = configs(single.settings)
    assert (training.epochs, training.shots, training.batch_size) == (800, 8192, 16)
    assert (head.reuploads, head.layers, head.reupload_layers, head.connectivity) == (4, 2, 1, 1)
    assert head.padding == "zero"


OWN = """
settings: {projection: pca, connectivity: 1, epochs: 2, per_class: 20}
seeds: 2
arms:
  - {name: published, qubits: 3, encoder_connectivity: 1}
  - {name: "own {head_circuit}", cross: {head_circuit: [own.qasm]}}
  - {name: tuned, tune: {head_circuit: [own.qasm, null]}, qubits: 2, encoder_connectivity: 1}
design: {factors: {head_circuit: [null, own.qasm], encoder_circuit: [null, encoder.qasm], final_linear: [false, true]}}
"""


def test_circuits_are_read_beside_the_study_and_are_part_of_a_run(tmp_path: Path) -> None:
    """By content: a run's settings and identity hold the circuit, whatever becomes of its file."""
    head = Circuit(1, (Operation("rx", 0, input=0), Operation("ry", 0, weight=0), Operation("rz", 0, input=1)))
    encoder = Circuit(2, (Operation("rx", 0, weight=0), Operation("cz", 1, 0)))
    (tmp_path / "own.qasm").write_text(head.to_qasm3())
    (tmp_path / "encoder.qasm").write_text(encoder.to_qasm3())
    asked = read(tmp_path, OWN)
    (tmp_path / "own.qasm").unlink()
    published, own, tuned, *design = asked.arms
    assert [arm.name for arm in asked.arms[:3]] == ["published", "own own.qasm", "tuned"]
    assert own.factors == {"head_circuit": "own.qasm"}
    assert own.settings["head_circuit"] == head.to_qasm3()
    assert tuned.tune == {"head_circuit": [head.to_qasm3(), None]}
    assert {(arm.settings["head_circuit"], arm.settings["encoder_circuit"]) for arm in design} == {
        (h, e) for h in (None, head.to_qasm3()) for e in (None, encoder.to_qasm3())
    }
    runs = expand(asked, made_up())[own.name][0]
    assert {run.settings["qubits"] for run in runs} == {2}
    assert parts(configs(runs[0].settings)[0])["head"] == head
    assert published.settings["qubits"] == 3
    with pytest.raises(HilbertuneError, match=f"Cannot read the circuit {tmp_path / 'own.qasm'}: No such file"):
        read(tmp_path, OWN)


@pytest.mark.parametrize("page", ["studies", "many-machines"])
def test_the_studies_that_the_documentation_shows_can_be_read(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "howto" / f"{page}.md").read_text()
    shown = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown
    for study in shown:
        assert read(tmp_path, study).arms
