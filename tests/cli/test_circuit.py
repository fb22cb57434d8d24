"""The verb circuit: drawings, counts and OpenQASM 3 of every part."""

import json
from pathlib import Path

import pytest
from helpers.commands import Run

from hilbertune.config.records import PRESETS, HeadConfig
from hilbertune.model.layers import HybridHead


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


ENCODERS = ("quantum", "linear", "pca")
HEADS = ("quantum", "dense", "none")


def shape_flags(encoder: str, head: str) -> list[str]:
    return ["--qubits", "3", "--encoder-layers", "1", "--encoder", encoder, "--head", head]


def trained_numbers(encoder: str, head: str, features: int) -> int:
    """Count what the whole model learns, by building it."""
    shape = HeadConfig(qubits=3, encoder_layers=1, encoder=encoder, head=head)  # type: ignore[arg-type]
    return HybridHead(features, 2, shape).parameter_count


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_of_any_parts_is_printed_and_counted(run: Run, encoder: str, head: str) -> None:
    code, out, err = run("circuit", "--part", "model", *shape_flags(encoder, head))
    assert (code, err) == (0, "")
    for name, kind in {"encoder": encoder, "head": head}.items():
        first = next(line for line in out.splitlines() if line.startswith(f"{name}: "))
        assert ("3 qubits" in first) == (kind == "quantum")
        assert (first == f"{name}: {kind}, without a circuit") == (kind != "quantum")
    # A linear map from 5 numbers to 3 angles has 3 · (5 + 1).
    counted = trained_numbers(encoder, head, 5) - (3 * (5 + 1) if encoder == "linear" else 0)
    more = "; those of the linear encoder depend on the width of the embedding and are not counted"
    ending = more if encoder == "linear" else ""
    assert out.splitlines()[-1] == f"{counted} parameters of the model, for 2 classes{ending}."


@pytest.mark.parametrize("how", [["--json"], ["--format", "json"]])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_of_any_parts_is_one_json_object(run: Run, encoder: str, head: str, how: list[str]) -> None:
    code, out, err = run("circuit", "--part", "model", *shape_flags(encoder, head), *how)
    assert (code, err) == (0, "")
    counts = json.loads(out)
    linear = encoder == "linear"
    assert counts["parameters"] == trained_numbers(encoder, head, 5) - (3 * (5 + 1) if linear else 0)
    assert counts.get("not_counted") == (["linear encoder"] if linear else None)
    assert (counts["encoder"] is not None) == (encoder == "quantum")
    assert (counts["head"] is not None) == (head == "quantum")
    assert counts["final_linear_parameters"] == 2 * (4 if head == "none" else 2)


@pytest.mark.parametrize("how", [[], ["--json"], ["--format", "qasm3"]])
@pytest.mark.parametrize(("encoder", "head"), [(encoder, head) for encoder in ENCODERS for head in HEADS])
def test_a_classical_part_alone_is_refused(run: Run, encoder: str, head: str, how: list[str]) -> None:
    for part, kind in {"encoder": encoder, "head": head}.items():
        code, out, err = run("circuit", "--part", part, *shape_flags(encoder, head), *how)
        if kind == "quantum":
            assert (code, err) == (0, "")
            assert out
        else:
            sentence = f"error: With --{part} {kind} there is no circuit of the {part} to show.\n"
            assert (code, out, err) == (2, "", sentence)
    code, out, err = run("circuit", "--part", "ansatz", *shape_flags(encoder, head), *how)
    assert (code, err) == (0, "")
    assert out


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_qasm3_of_a_model_is_its_head_or_refused(run: Run, encoder: str, head: str) -> None:
    code, out, err = run("circuit", "--part", "model", *shape_flags(encoder, head), "--format", "qasm3")
    if head == "quantum":
        assert (code, err) == (0, "")
        assert out == run("circuit", "--part", "head", *shape_flags(encoder, head), "--format", "qasm3")[1]
    else:
        assert (code, out) == (2, "")
        assert err == f"error: With --head {head} there is no circuit of the head to show.\n"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_picture_of_a_model_says_what_it_shows(run: Run, tmp_path: Path, encoder: str, head: str) -> None:
    picture, alone = tmp_path / "model.svg", tmp_path / "alone.svg"
    code, _, err = run("circuit", "--part", "model", *shape_flags(encoder, head), "--draw", picture)
    circuits = [name for name, kind in {"encoder": encoder, "head": head}.items() if kind == "quantum"]
    if not circuits:
        assert code == 2
        assert err == f"error: With --encoder {encoder} and --head {head} the model has no circuit to draw.\n"
        assert not picture.exists()
        return
    shown = circuits[-1]
    assert code == 0
    assert err == (
        f"{picture} shows the head alone: --part encoder draws the encoder.\n"
        if len(circuits) == 2
        else f"{picture} shows the {shown}, the only circuit of this model.\n"
    )
    assert run("circuit", "--part", shown, *shape_flags(encoder, head), "--draw", alone)[2] == ""
    assert picture.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_trainable_projection_is_said_to_be_left_out(run: Run, encoder: str) -> None:
    flags = ["circuit", "--part", "model", *shape_flags(encoder, "quantum"), "--projection", "trainable"]
    plain = json.loads(run("circuit", "--part", "model", *shape_flags(encoder, "quantum"), "--json")[1])
    counts = json.loads(run(*flags, "--json")[1])
    assert counts["parameters"] == plain["parameters"]
    assert ("trainable projection" in counts.get("not_counted", [])) == (encoder == "quantum")


def test_a_model_without_a_final_linear_layer_is_counted_for_its_measured_qubits(run: Run) -> None:
    flags = ["circuit", "--part", "model", "--qubits", "4", "--no-final-linear", "--measured-qubits", "3"]
    out = run(*flags)[1]
    shape = HeadConfig(qubits=4, final_linear=False, measured_qubits=3)
    assert out.endswith(f"{HybridHead(5, 3, shape).parameter_count} parameters of the model, for 3 classes.\n")
    assert json.loads(run(*flags, "--json")[1])["final_linear_parameters"] == 0


def test_without_entanglement_no_gate_has_two_qubits(run: Run) -> None:
    code, out, _ = run("circuit", "--qubits", "4", "--no-entanglement", "--json")
    assert code == 0
    assert '"two_qubit_gates": 0' in out
