"""A served model: answers, limits, batches that requests share, metrics, and its OpenAPI document under fire."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.use import serving
from hilbertune.use.serving import Limits, application

SMALL = {"qubits": 3, "encoder_layers": 1, "layers": 1, "epochs": 2}
ROWS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> HybridClassifier:
    return HybridClassifier(**SMALL).fit(ROWS, np.where(ROWS[:, 0] > 0, "yes", "no"))


@pytest.fixture(scope="module")
def text_model(tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]) -> HybridClassifier:
    return HybridClassifier(embedding=str(tiny_models["encoder"]), **{**SMALL, "qubits": 5}).fit(*two_kinds)


def test_embeddings_are_answered(model: HybridClassifier) -> None:
    with TestClient(application(model)) as client:
        answer = client.post("/predict", json={"embeddings": ROWS.tolist()})
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert [one["label"] for one in found] == model.predict(ROWS).tolist()
    expected = model.predict_proba(ROWS).max(axis=1)
    np.testing.assert_allclose([one["probability"] for one in found], expected, atol=1e-6)


def test_an_ensemble_is_served_as_one_model() -> None:
    ensemble = HybridClassifier(members=3, **SMALL).fit(ROWS, np.where(ROWS[:, 0] > 0, "yes", "no"))
    with TestClient(application(ensemble)) as client:
        found = client.post("/predict", json={"embeddings": ROWS.tolist()}).json()["predictions"]
        card = client.get("/model").json()
    np.testing.assert_allclose([one["probability"] for one in found], ensemble.predict_proba(ROWS).max(1), atol=1e-6)
    assert (card["members"], card["parameters"]) == (3, ensemble.head_.parameter_count)


def test_texts_are_answered_and_nothing_of_the_machine_is_told(
    text_model: HybridClassifier, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["w1 good film w2", "w1 bad film w2"]
    with TestClient(application(text_model)) as client:
        answer = client.post("/predict", json={"texts": texts})
        card = client.get("/model").text
        metrics = client.get("/metrics").text
    assert [one["label"] for one in answer.json()["predictions"]] == text_model.predict(texts).tolist()
    assert "/" not in card
    assert "hilbertune_items_total 2.0" in metrics
    for told in (card, metrics, caplog.text):
        assert "good film" not in told


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"{", 422, "body"),
        (b'{"embeddings": []}', 422, "at least 1 item"),
        (b'{"embeddings": [[1, 2]]}', 422, "at least 4 items"),
        (b'{"embeddings": [[1, 2, 3, NaN]]}', 422, "."),
        (b'{"texts": ["a"]}', 422, "Field required"),
        (b'{"embeddings": [[1, 2, 3, 4]], "more": 1}', 422, "Extra inputs"),
        (b'{"embeddings": ' + str([[1.0] * 4] * 9).encode() + b"}", 422, "at most 8 items"),
        (b" " * 3000, 413, "larger than 2000 bytes"),
    ],
)
def test_what_the_model_does_not_read_gets_one_sentence(
    model: HybridClassifier, content: bytes, status: int, sentence: str
) -> None:
    with TestClient(application(model, Limits(body_bytes=2000, items=8))) as client:
        answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_a_body_of_unknown_length_is_cut_off(model: HybridClassifier) -> None:
    def pieces() -> Any:
        for _ in range(100):
            yield b" " * 100

    with TestClient(application(model, Limits(body_bytes=2000))) as client:
        answer = client.post("/predict", content=pieces())
    assert answer.status_code == 413


def test_empty_texts_and_long_ones_are_refused(text_model: HybridClassifier) -> None:
    with TestClient(application(text_model, Limits(characters=20))) as client:
        empty = client.post("/predict", json={"texts": ["good film", "  "]})
        long = client.post("/predict", json={"texts": ["good " * 10]})
    assert (empty.status_code, long.status_code) == (422, 422)
    assert "Row 2" in empty.json()["detail"]
    assert "at most 20 characters" in long.json()["detail"]


def test_requests_that_wait_share_a_batch_and_get_their_own_answers(
    model: HybridClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = serving.answers

    def slow(model: Any, items: Any) -> Any:
        sizes.append(len(items))
        time.sleep(0.2)
        return real(model, items)

    monkeypatch.setattr(serving, "answers", slow)
    found: dict[int, Any] = {}
    with TestClient(application(model)) as client:

        def ask(row: int) -> None:
            answer = client.post("/predict", json={"embeddings": [ROWS[row].tolist()]})
            found[row] = answer.json()["predictions"][0]["label"]

        threads = [threading.Thread(target=ask, args=(row,)) for row in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(sizes) == 12
    assert len(sizes) < 12
    assert [found[row] for row in range(12)] == model.predict(ROWS[:12]).tolist()


def test_a_slow_answer_and_a_full_queue_are_told(model: HybridClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def stuck(model: Any, items: Any) -> Any:
        release.wait(5)
        return [{"label": "no", "probability": 1.0}] * len(items)

    monkeypatch.setattr(serving, "answers", stuck)
    row = {"embeddings": [ROWS[0].tolist()]}
    with TestClient(application(model, Limits(seconds=0.2, waiting=2))) as client:
        late = client.post("/predict", json=row)
        full = client.post("/predict", json={"embeddings": ROWS[:3].tolist()})
        release.set()
        assert client.get("/health").json() == {"status": "ok"}
    assert (late.status_code, full.status_code) == (504, 503)
    assert "too long" in late.json()["detail"]
    assert "Too many items" in full.json()["detail"]


def test_more_requests_than_are_answered_at_once_are_refused_but_health_is_told(
    model: HybridClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(serving, "answers", lambda _, items: release.wait(5) and [{"label": "no"}] * len(items))
    found: list[int] = []
    with TestClient(application(model, Limits(requests=2))) as client:

        def ask() -> None:
            found.append(client.post("/predict", json={"embeddings": ROWS[:1].tolist()}).status_code)
            if found == [503]:
                found.append(client.get("/health").status_code)
                release.set()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [503, 200, 200, 200]


def test_only_the_hosts_that_were_named_are_answered(model: HybridClassifier) -> None:
    with TestClient(application(model, hosts=["api.example.org", "*.example.com"])) as client:
        status = {
            host: client.get("/health", headers={"host": host}).status_code
            for host in ("api.example.org", "API.example.org:8000", "a.example.com", "example.org", "evil", "127.0.0.1")
        }
    assert list(status.values()) == [200, 200, 200, 400, 400, 400]


@pytest.mark.parametrize(
    "name", ["", "http://example.org", "example.org:80", "a.*.org", "*example.org", "a b", "é.org"]
)
def test_what_is_no_host_is_refused(model: HybridClassifier, name: str) -> None:
    with pytest.raises(HilbertuneError, match="no name of a host"):
        application(model, hosts=[name])


@pytest.mark.parametrize("length", [b"2001", b"9" * 19, b"9" * 5000, b"-1", b"x"])
def test_a_stated_length_that_is_too_large_is_refused_unread(model: HybridClassifier, length: bytes) -> None:
    with TestClient(application(model, Limits(body_bytes=2000))) as client:
        answer = client.post("/predict", content=b"{}", headers={"content-length": length.decode()})
    assert answer.status_code == 413


def test_a_failure_of_the_model_does_not_stop_the_server(
    model: HybridClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = serving.answers
    calls = iter([True, False])

    def once(model: Any, items: Any) -> Any:
        if next(calls):
            raise RuntimeError("secret")
        return real(model, items)

    monkeypatch.setattr(serving, "answers", once)
    row = {"embeddings": [ROWS[0].tolist()]}
    with TestClient(application(model), raise_server_exceptions=False) as client:
        broken = client.post("/predict", json=row)
        well = client.post("/predict", json=row)
    assert (broken.status_code, well.status_code) == (500, 200)
    assert "secret" not in broken.text


def test_a_model_that_opens_files_is_not_served(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "abab"]
    pictures = HybridClassifier(embedding=str(tiny_models["pictures"]), **{**SMALL, "qubits": 5})
    pictures.fit(paths, ["x", "y"] * 2)
    with pytest.raises(HilbertuneError, match="must not open files"):
        application(pictures)


def test_the_openapi_document_holds_under_fire(model: HybridClassifier) -> None:
    app = application(model, Limits(items=4))
    # Every call starts and stops the application.
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    tested = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=20, suppress_health_check=list(HealthCheck), deadline=None)
        def fire(case: Any) -> None:
            answer = case.call()
            case.validate_response(answer)
            assert answer.status_code < 500

        fire()
        tested.append(operation.path)
    assert sorted(tested) == ["/health", "/metrics", "/model", "/predict"]
