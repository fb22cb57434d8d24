"""Threads that share models, embedders and the process: each gets what it would get alone, and nothing leaks."""

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import quiet
from hilbertune.estimator.classifier import HybridClassifier

SMALL: dict[str, Any] = {"qubits": 3, "encoder_layers": 1, "layers": 1, "epochs": 2, "random_state": 1}
ROWS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
LABELS = np.where(ROWS[:, 0] > 0, "yes", "no")


def assert_like_one_thread(call: Callable[[int], np.ndarray], count: int) -> None:
    alone = [call(number) for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(call, range(count)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [{"shots": 40}, {"shots": 40, "members": 3}, {"one_qubit_error": 0.02, "readout_error": 0.1, "trajectories": 3}],
)
def test_predictions_with_shots_and_noise(settings: dict[str, Any]) -> None:
    model = HybridClassifier(**SMALL, **settings).fit(ROWS, LABELS)
    kept = model.head_.head.rngs
    assert_like_one_thread(lambda number: model.predict_proba(ROWS[number % 10 :]), 24)
    assert model.head_.head.rngs is kept


def test_fits_of_different_estimators() -> None:
    def fitted(number: int) -> np.ndarray:
        settings = {**SMALL, "random_state": number, "shots": (None, 20)[number % 2]}
        return HybridClassifier(**settings).fit(ROWS, LABELS).predict_proba(ROWS)

    assert_like_one_thread(fitted, 6)


def test_embeddings_of_texts_short_and_too_long(tiny_models: dict[str, Path]) -> None:
    embedder = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu")
    texts = [" ".join(f"w{(i * k) % 30}" for k in range(1 + 23 * (i % 9))) for i in range(30)]
    assert_like_one_thread(lambda number: embedder.embed(texts[number : number + 1 + number % 5]), 20)
    assert_like_one_thread(lambda number: Embedder(str(tiny_models["encoder"]), cache=None).embed(texts[:3]), 4)


def test_threads_share_a_cache(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    texts = [f"w{i} good film" for i in range(30)]
    right = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu").embed(texts)

    def embedded(number: int) -> np.ndarray:
        return Embedder(str(tiny_models["encoder"]), cache=tmp_path, device="cpu").embed(texts[number : number + 5])

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(embedded, range(16))):
            np.testing.assert_allclose(found, right[number : number + 5], atol=1e-6)


def test_fitting_loading_and_predicting_leave_the_process_as_it_was(tmp_path: Path) -> None:
    def state() -> list[Any]:
        numpy_state: Any = np.random.get_state()
        generators = [torch.get_rng_state().tolist(), numpy_state[1].tolist(), numpy_state[2]]
        modes = [torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled()]
        return [*generators, *modes, torch.get_default_dtype(), logging.getLogger("transformers").level, Path.cwd()]

    before = state()
    model = HybridClassifier(**SMALL, shots=20, members=2).fit(ROWS, LABELS)
    model.predict(ROWS)
    HybridClassifier.from_pretrained(model.save_pretrained(tmp_path / "model")).predict(ROWS)
    pickle.loads(pickle.dumps(model)).predict(ROWS)
    for now, then in zip(state(), before, strict=True):
        assert now == then


def test_a_model_made_by_hand_still_follows_the_global_generator() -> None:
    from hilbertune.config.records import HeadConfig
    from hilbertune.model.layers import HybridHead

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return HybridHead(8, 2, HeadConfig(qubits=4, encoder_layers=1, layers=1)).head.weights

    with torch.random.fork_rng():
        assert torch.equal(drawn(1), drawn(1))
        assert not torch.equal(drawn(1), drawn(2))


def test_silence_ends_with_the_last_thread_that_asked_for_it() -> None:
    logger = logging.getLogger("transformers")
    level = logger.level
    first, second = quiet(), quiet()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(first.__enter__).result()
        second.__enter__()
        pool.submit(first.__exit__, None, None, None).result()
        assert logger.level == logging.ERROR
        second.__exit__(None, None, None)
    assert logger.level == level
