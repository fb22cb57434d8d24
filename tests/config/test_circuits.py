"""Circuits of the user's own in a shape: what goes together, and the one sentence where something does not."""

import json
from typing import Any

import pytest

from hilbertune.circuit.builders import ansatz, head, parameter_count, parts
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.automatic import AUTO, LEFT_TO_THE_DATA, Automatic, Traits
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError

OWN = Circuit(
    3, (Operation("h", 2), *(Operation("rx", q % 3, input=q) for q in range(4)), Operation("rz", 0, weight=1))
)
HEAD = OWN.to_qasm3()
"""Four inputs on three qubits, two weights of which one is read."""
ENCODER = Circuit(2, (Operation("rx", 0, weight=0), Operation("cz", 1, 0))).to_qasm3()


def test_a_circuit_is_as_good_as_its_text_and_survives_json(unchecked: None) -> None:
    shape = HeadConfig(qubits=4, head_circuit=OWN)  # type: ignore[arg-type]
    assert shape == HeadConfig(qubits=4, head_circuit=HEAD)
    assert HeadConfig.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape
    assert parts(shape)["head"] == OWN
    assert shape.head_qubits == 3
    assert (shape.measured(2), shape.measured(3), shape.measured(9)) == (1, 3, 3)
    assert parameter_count(shape, 10, 2) == parts(shape)["encoder"].parameters + 2 + 2 * 2


def test_shapes_without_circuits_have_the_identity_they_had() -> None:
    assert not {"head_circuit", "encoder_circuit"} & HeadConfig().identity().keys()
    assert HeadConfig(qubits=4, head_circuit=HEAD).identity()["head_circuit"] == HEAD


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"qubits": 5}, "reads 4 inputs, but 1 encoder of 5 qubits .* give 5 angles: set qubits to 4, or let"),
        ({"qubits": 8, "encoders": 2, "merge": "alternate"}, "give 16 angles: set qubits to 2"),
        ({"qubits": 6, "encoders": 3}, "choose a number of encoders that divides 4, or merge='average'"),
        ({"qubits": 6, "encoders": 3, "merge": "average"}, "set qubits to 4"),
        ({"qubits": 4, "layers": 3}, "layers shapes the published head, whose place head_circuit takes: leave out one"),
        ({"qubits": 4, "head": "dense"}, "head='dense' has no circuit: leave out head_circuit"),
        ({"qubits": 4, "measured_qubits": 4}, "measured_qubits must be at most the qubits of head_circuit = 3, not 4"),
        ({"qubits": 2, "head_circuit": ENCODER}, "head_circuit reads no inputs: let rotations turn by x0, x1"),
        ({"qubits": 4, "head_circuit": "h q[0];"}, r"head_circuit must be a Circuit or what its to_qasm3\(\) returns"),
        ({"qubits": 4, "head_circuit": HEAD.replace("[3]", "[40]")}, "40 qubits take .* memory"),
        ({"head_circuit": None, "qubits": 4, "encoder_circuit": ENCODER}, "each encoder has 4: set qubits to 2"),
        (
            {"head_circuit": None, "qubits": 3, "encoder_circuit": HEAD},
            "encoder_circuit starts from .* reads no inputs",
        ),
        ({"qubits": 4, "encoder_circuit": ENCODER, "encoder_layers": 1}, "encoder_layers shapes the published encoder"),
        ({"qubits": 4, "encoder": "pca", "encoder_circuit": ENCODER}, "encoder='pca' has no circuit"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        HeadConfig(**{"head_circuit": HEAD, **settings})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD.replace("rz(w1)", "rz(sin(w1))"), id="another form"),
        pytest.param(HEAD.replace("rx(x3)", "rx(x2)"), id="an input that is declared and not read"),
        pytest.param(HEAD + "h q[7];\n", id="a qubit that there is not"),
    ],
)
def test_a_text_that_is_no_circuit_of_ours_is_refused_where_it_is_built(text: str) -> None:
    with pytest.raises(HilbertuneError, match=r"as its to_qasm3\(\) writes it|is not a gate on 3 qubits"):
        parts(HeadConfig(qubits=4, head_circuit=text))


@pytest.mark.parametrize(
    ("given", "qubits"),
    [
        ({"head_circuit": HEAD}, 4),
        ({"head_circuit": HEAD, "encoders": 2}, 4),
        ({"head_circuit": HEAD, "encoders": 2, "merge": "alternate"}, 2),
        ({"encoder_circuit": ENCODER}, 2),
        ({"encoder_circuit": ENCODER, "encoders": 3}, 6),
        ({"head_circuit": HEAD, "encoder": "linear"}, 4),
    ],
)
def test_left_to_the_data_the_qubits_follow_from_the_circuits(given: dict[str, Any], qubits: int) -> None:
    shape, _ = Automatic({**LEFT_TO_THE_DATA, **given}).resolved(Traits(features=50, classes=3))
    assert shape.qubits == qubits
    assert Automatic({"qubits": AUTO, **given}).resolved(Traits())[0].qubits == qubits


def test_the_published_circuits_may_be_given_as_ones_own() -> None:
    own = HeadConfig(qubits=4, head_circuit=head(4).to_qasm3(), encoder_circuit=ansatz(4, 4, 3).to_qasm3())
    published = HeadConfig(qubits=4)
    assert parts(own) == parts(published)
    assert parameter_count(own, 10, 2) == parameter_count(published, 10, 2)
