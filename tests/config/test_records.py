"""Hyperparameters hold the published defaults, refuse what does not go together, and know what they amount to."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from hilbertune.config.circuits import OWN
from hilbertune.config.records import (
    DEFAULT_PAIRS,
    EMBEDDED_MODEL,
    MAX_QUBITS,
    PRESETS,
    VALIDATION,
    HeadConfig,
    InputConfig,
    MachineConfig,
    TrainingConfig,
    TuningConfig,
)
from hilbertune.errors import HilbertuneError

pytestmark = pytest.mark.usefixtures("unchecked")

LETTERS = {
    "qubits": "Q",
    "encoders": "E",
    "reuploads": "R",
    "layers": "M",
    "reupload_layers": "N",
    "connectivity": "C",
    "final_linear": "F",
    "batch_size": "B",
    "shots": "S",
    "learning_rate": "L",
    "learning_rate_decay": "γ",
    "weight_decay": "ρ",
}


def test_defaults_are_the_published_head() -> None:
    config = HeadConfig()
    assert (config.qubits, config.encoders, config.reuploads) == (10, 1, 4)
    assert (config.layers, config.reupload_layers, config.connectivity) == (2, 1, 1)
    assert (config.final_linear, config.angle_scale) == (True, 1.0)
    training = TrainingConfig()
    assert (training.batch_size, training.shots, training.gradient) == (16, None, "adjoint")
    assert (training.learning_rate_decay, training.weight_decay) == (1.0, 0.0)


def test_every_field_has_a_help_and_the_paper_letters_are_all_there() -> None:
    fields = dataclasses.fields(HeadConfig) + dataclasses.fields(TrainingConfig)
    assert all(field.metadata["help"].endswith(".") for field in fields)
    assert {f.name: f.metadata["letter"] for f in fields if f.metadata["letter"]} == LETTERS


@pytest.mark.parametrize(
    ("name", "low", "below"),
    [
        ("encoders", 1, 0),
        ("encoder_layers", 0, -1),
        ("encoder_connectivity", 1, 0),
        ("reuploads", 1, 0),
        ("layers", 0, -1),
        ("reupload_layers", 0, -1),
        ("connectivity", 1, 0),
        ("measured_qubits", 1, 0),
        ("qubits", 2, 0),
    ],
)
def test_a_count_below_its_range_is_refused(name: str, low: int, below: int) -> None:
    assert getattr(HeadConfig(**{name: low}), name) == low  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match=rf"{name} must be at least \d( and at most 1000)?, not {below}\."):
        HeadConfig(**{name: below})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("learning_rate_decay", 0.0),
        ("learning_rate_decay", 1.01),
        ("weight_decay", -1e-9),
        ("weight_decay", float("inf")),
        ("weight_decay", float("nan")),
        ("shots", 0),
        ("patience", 0),
        ("start", 0.0),
        ("start", 3.2),
        ("training_shots", 0),
    ],
)
def test_training_values_out_of_range_are_refused(name: str, bad: float) -> None:
    with pytest.raises(HilbertuneError, match=f"^{name} must be (at|above|below).* not {bad}"):
        TrainingConfig(**{name: bad})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("angle_scale", 0.0),
        ("angle_scale", -1.0),
        ("angle_scale", float("nan")),
        ("angle_scale", float("inf")),
        ("constant_share", 0.0),
        ("constant_share", 1.0),
        ("constant_share", float("nan")),
    ],
)
def test_head_numbers_out_of_range_are_refused(name: str, bad: float) -> None:
    with pytest.raises(HilbertuneError, match=f"^{name} must be "):
        HeadConfig(**{name: bad})  # type: ignore[arg-type]


def test_more_than_26_qubits_are_refused_unless_meant() -> None:
    assert MAX_QUBITS == 26
    assert HeadConfig(qubits=26).qubits == 26
    with pytest.raises(HilbertuneError, match=r"^27 qubits take 12 GiB .*--allow-large"):
        HeadConfig(qubits=27)
    assert HeadConfig(qubits=27, allow_large=True).qubits == 27


@pytest.mark.parametrize("qubits", [64, 2000, 100_000, 10**30])
def test_absurdly_many_qubits_are_refused_like_too_many(qubits: int) -> None:
    with pytest.raises(HilbertuneError, match="allow_large"):
        HeadConfig(qubits=qubits)


def test_connectivity_must_stay_below_the_qubits() -> None:
    with pytest.raises(HilbertuneError, match=r"^connectivity must lie between 1 and .* = 3, not 4"):
        HeadConfig(qubits=4, connectivity=4)
    with pytest.raises(HilbertuneError, match=r"^encoder_connectivity must .* = 3, not 4"):
        HeadConfig(qubits=4, encoder_connectivity=4)
    with pytest.raises(HilbertuneError, match=r"^encoder_connectivity must .* = 1, not 2"):
        HeadConfig(qubits=4, encoders=2, encoder_connectivity=2)


def test_connectivity_is_free_where_there_are_no_layers() -> None:
    assert HeadConfig(qubits=4, layers=0, reupload_layers=0, connectivity=9).connectivity == 9
    assert HeadConfig(qubits=4, encoder_layers=0, encoder_connectivity=9).encoder_layers == 0


def test_one_qubit_works_without_layers_and_is_refused_with_them() -> None:
    assert HeadConfig(qubits=1, encoder_layers=0, layers=0, reupload_layers=0).capacity == 1
    with pytest.raises(HilbertuneError, match="qubits"):
        HeadConfig(qubits=1)
    with pytest.raises(HilbertuneError, match="qubits"):
        HeadConfig(qubits=2, encoders=2)


def test_default_connectivity_of_the_encoders_fits_every_number_of_qubits() -> None:
    for qubits in range(2, 10):
        assert HeadConfig(qubits=qubits).encoder_offsets == min(5, qubits - 1)
    assert HeadConfig(encoder_connectivity=2).encoder_offsets == 2


def test_measured_qubits_must_exist() -> None:
    assert HeadConfig(qubits=3, measured_qubits=3).measured_qubits == 3
    with pytest.raises(HilbertuneError, match="measured_qubits must be at most qubits = 3, not 4"):
        HeadConfig(qubits=3, measured_qubits=4)


def test_encoders_share_the_qubits_evenly_side_by_side() -> None:
    with pytest.raises(HilbertuneError, match="3 encoders side by side cannot share 10 qubits"):
        HeadConfig(encoders=3)
    with pytest.raises(HilbertuneError, match="side by side"):
        HeadConfig(encoders=11)
    assert HeadConfig(encoders=3, merge="average").encoder_qubits == 10


def test_every_encoder_needs_a_block_in_turn() -> None:
    assert HeadConfig(encoders=4, merge="alternate", reuploads=4).encoders == 4
    with pytest.raises(HilbertuneError, match="reuploads must be 5 or more"):
        HeadConfig(encoders=5, merge="alternate", reuploads=4)


@pytest.mark.parametrize(
    ("settings", "qubits", "capacity"),
    [
        ({"padding": "zero"}, 10, 1024),
        ({"padding": "constant"}, 10, 1023),
        ({"encoders": 2, "padding": "zero"}, 5, 32),
        ({"encoders": 2, "padding": "constant"}, 5, 31),
        ({"encoders": 2, "merge": "average", "padding": "zero"}, 10, 1024),
        ({"encoders": 2, "merge": "alternate", "padding": "constant"}, 10, 1023),
    ],
)
def test_encoder_qubits_and_capacity(settings: dict[str, Any], qubits: int, capacity: int) -> None:
    config = HeadConfig(qubits=10, encoder_connectivity=1, **settings)
    assert (config.encoder_qubits, config.capacity) == (qubits, capacity)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert HeadConfig.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_reading_the_declarations_needs_no_heavy_package() -> None:
    code = (
        "import importlib.util, sys, types\n"
        "spec = importlib.util.find_spec('hilbertune')\n"
        "package = types.ModuleType('hilbertune')\n"
        "package.__path__ = spec.submodule_search_locations\n"
        "sys.modules['hilbertune'] = package\n"
        "import hilbertune.config\n"
        "print([m for m in ('numpy', 'torch', 'numba', 'sklearn') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_two_classes_measure_one_qubit_and_more_classes_one_each() -> None:
    assert [HeadConfig(qubits=4).measured(classes) for classes in (2, 3, 4, 9)] == [1, 3, 4, 4]
    assert HeadConfig(qubits=4, measured_qubits=2).measured(3) == 2


@pytest.mark.parametrize("record", [HeadConfig, TrainingConfig, TuningConfig, InputConfig, MachineConfig])
def test_every_help_is_made_of_sentences(record: Any) -> None:
    for field in dataclasses.fields(record):
        text = field.metadata["help"]
        assert text[0].isupper(), field.name
        assert text.endswith("."), field.name


def test_defaults_of_the_data_and_the_machine() -> None:
    assert dataclasses.astuple(InputConfig()) == (VALIDATION, EMBEDDED_MODEL, None, None)
    assert DEFAULT_PAIRS in dataclasses.fields(InputConfig)[3].metadata["help"]
    assert dataclasses.astuple(MachineConfig()) == ("auto", "cpu", 0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"validation": 1.0}, "validation must be at least 0 and below 1, not 1.0"),
        ({"validation": -0.1}, "validation must be at least 0 and below 1, not -0.1"),
        ({"pooling": "max"}, "pooling must be one of"),
        ({"pairs": "u"}, "pairs must be one of"),
        ({"embedding": None}, "embedding must be str, not None"),
    ],
)
def test_inputs_out_of_range_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        InputConfig(**values)


def test_noise_is_what_the_rates_amount_to() -> None:
    assert TrainingConfig().noise is None
    noise = TrainingConfig(one_qubit_error=0.1, two_qubit_error=0.2, readout_error=0.3, trajectories=5).noise
    assert noise is not None
    assert dataclasses.astuple(noise) == (0.1, 0.2, 0.3, 5)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"schedule": "one-cycle", "learning_rate_decay": 0.9}, "leave out learning_rate_decay"),
        ({"keep": "last", "patience": 3}, "leave out patience, or keep='best'"),
    ],
)
def test_training_values_that_do_not_go_together_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        TrainingConfig(**values)


def test_steps_have_the_shots_of_predictions_unless_they_have_their_own() -> None:
    assert TrainingConfig().step_shots is None
    assert TrainingConfig(shots=9).step_shots == 9
    assert TrainingConfig(shots=9, training_shots=4).step_shots == 4
    assert TrainingConfig(training_shots=4).step_shots == 4


def test_settings_declared_later_are_no_part_of_an_identity_at_their_defaults() -> None:
    later = {
        "schedule",
        "keep",
        "standardise",
        "standardise_angles",
        "start",
        "training_shots",
        "exact_start",
        "members",
        "bootstrap",
    }
    config = TrainingConfig()
    assert set(config.to_dict()) - set(config.identity()) == later
    assert list(config.identity()) == [name for name in config.to_dict() if name not in later]
    changed = TrainingConfig(keep="last", training_shots=8)
    assert changed.identity() == config.identity() | {"keep": "last", "training_shots": 8}
    assert TrainingConfig.from_dict(changed.identity()) == changed
    head = HeadConfig()
    assert set(head.to_dict()) - set(head.identity()) == {"input_scale", "scale", "norm", *OWN}
    assert HeadConfig(norm="keep").identity() == head.identity() | {"norm": "keep"}


def test_adapters_and_tuned_layers_exclude_each_other() -> None:
    assert TuningConfig(lora_rank=2).lora_rank == 2
    with pytest.raises(HilbertuneError, match="leave out either lora_rank or tuned_layers"):
        TuningConfig(lora_rank=2, tuned_layers=1)


@pytest.mark.parametrize(
    ("settings", "features", "outputs", "sentence"),
    [
        ({}, 7, 0, "A head needs at least 1 output, not 0."),
        (
            {"final_linear": False, "measured_qubits": 2},
            7,
            3,
            "Without the final linear layer 3 outputs need measured_qubits = 3, not 2.",
        ),
        (
            {"final_linear": False, "measured_qubits": 3},
            7,
            2,
            "Without the final linear layer 2 outputs need measured_qubits = 2 or 1, not 3.",
        ),
        ({"encoder": "pca"}, 2, 2, "An embedding of 2 numbers has no 3 principal components: use fewer qubits."),
        (
            {},
            8,
            2,
            "An embedding of 8 numbers does not fit the 7 amplitudes of 3 qubits: use more qubits, "
            "projection='truncate', 'random', 'pca' or 'trainable', or basis='pca'.",
        ),
    ],
)
def test_data_that_do_not_fit_a_shape_are_refused(
    settings: dict[str, Any], features: int, outputs: int, sentence: str
) -> None:
    with pytest.raises(HilbertuneError) as error:
        HeadConfig(qubits=3, connectivity=1, **settings).check_fit(features, outputs)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("settings", "features", "outputs"),
    [
        ({}, 7, 1),
        ({"padding": "zero"}, 8, 2),
        ({"basis": "pca"}, 100, 2),
        ({"projection": "random"}, 100, 2),
        ({"encoder": "linear"}, 100, 2),
        ({"encoder": "pca"}, 3, 2),
        ({"final_linear": False}, 7, 2),
        ({"final_linear": False, "measured_qubits": 2}, 7, 2),
        ({"head": "none"}, 7, 5),
    ],
)
def test_data_that_fit_a_shape_are_taken(settings: dict[str, Any], features: int, outputs: int) -> None:
    HeadConfig(qubits=3, **settings).check_fit(features, outputs)


def test_a_projection_is_trained_where_it_is_needed() -> None:
    config = HeadConfig(qubits=3, projection="trainable")
    assert [config.trains_projection(features) for features in (7, 8)] == [False, True]
    assert not HeadConfig(qubits=3, projection="trainable", basis="pca").trains_projection(8)
    assert not HeadConfig(qubits=3, projection="random").trains_projection(8)
