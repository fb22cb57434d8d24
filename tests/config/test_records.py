"""Hyperparameters hold the published defaults, refuse what is out of range, and travel through dictionaries."""

import dataclasses
import json
import subprocess
import sys
from typing import Any, get_type_hints

import pytest

from hilbertune.config.fields import limits_text
from hilbertune.config.records import MAX_QUBITS, PRESETS, HeadConfig, TrainingConfig
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


@pytest.mark.parametrize(
    ("name", "bad", "wanted"),
    [
        ("qubits", "10", "int"),
        ("qubits", 10.0, "int"),
        ("qubits", True, "int"),
        ("qubits", None, "int"),
        ("column", 1, "bool"),
        ("final_linear", "yes", "bool"),
        ("angle_scale", "1", "float"),
        ("angle_scale", False, "float"),
        ("encoder_connectivity", 2.0, "int or None"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, bad: Any, wanted: str) -> None:
    with pytest.raises(HilbertuneError, match=f"{name} must be {wanted}, not {bad!r}"):
        HeadConfig(**{name: bad})


def test_a_whole_number_is_a_float() -> None:
    assert HeadConfig(angle_scale=2).angle_scale == 2.0
    assert TrainingConfig(weight_decay=0, learning_rate=1).learning_rate == 1.0


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("merge", "sum"),
        ("merge", None),
        ("padding", "ones"),
        ("basis", ""),
        ("projection", "svd"),
        ("projection", ["pca"]),
        ("padding", 0),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_and_the_choices_named(name: str, bad: Any) -> None:
    with pytest.raises(HilbertuneError, match=rf"{name} must be one of \['"):
        HeadConfig(**{name: bad})


def test_optional_values_may_be_none() -> None:
    assert HeadConfig(projection=None).projection is None
    training = TrainingConfig(shots=None, patience=None)
    assert (training.shots, training.patience) == (None, None)


def test_an_unknown_gradient_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="'adjoint', 'parameter-shift', 'spsa'"):
        TrainingConfig(gradient="finite-differences")  # type: ignore[arg-type]


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


@pytest.mark.parametrize("record", [HeadConfig, TrainingConfig])
def test_a_record_survives_json(record: type[HeadConfig | TrainingConfig]) -> None:
    made = record()
    assert record.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert set(made.to_dict()) == {field.name for field in dataclasses.fields(record)}


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert HeadConfig.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_missing_names_take_their_defaults() -> None:
    assert HeadConfig.from_dict({}) == HeadConfig()
    assert HeadConfig.from_dict({"qubits": 6}).qubits == 6


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="'qbits' is no setting of HeadConfig"):
        HeadConfig.from_dict({"qbits": 4})
    with pytest.raises(HilbertuneError, match="'qubits' is no setting of TrainingConfig"):
        TrainingConfig.from_dict({"qubits": 4})


def test_a_dictionary_is_checked_like_arguments() -> None:
    with pytest.raises(HilbertuneError, match="qubits must be int"):
        HeadConfig.from_dict({"qubits": "four"})


def test_records_are_values() -> None:
    assert HeadConfig(qubits=6) == HeadConfig(qubits=6) != HeadConfig(qubits=7)
    assert len({HeadConfig(), HeadConfig(), TrainingConfig()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        HeadConfig().qubits = 4  # type: ignore[misc]
    with pytest.raises(HilbertuneError):
        dataclasses.replace(HeadConfig(), qubits=0)


def test_limits_in_words() -> None:
    limits = {"low": None, "high": 1.0, "above": 0.0, "below": None}
    assert limits_text(limits) == "at most 1 and above 0"
    for record in (HeadConfig, TrainingConfig):
        assert set(get_type_hints(record)) == {f.name for f in dataclasses.fields(record)}


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
