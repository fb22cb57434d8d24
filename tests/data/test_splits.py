"""The few-shot protocol."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.data.splits import draw_by_class, few_shot_split
from hilbertune.errors import HilbertuneError


def test_the_published_protocol_gives_435_77_and_9101_rows() -> None:
    labels = np.arange(9613) % 2
    split = few_shot_split(labels, per_class=256, seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (435, 77, 9101)
    drawn = labels[np.concatenate([split.train, split.validation])]
    assert np.bincount(drawn).tolist() == [256, 256]
    assert sorted(np.bincount(labels[split.validation])) == [38, 39]


def test_a_split_depends_on_its_seed_alone() -> None:
    labels = ["a", "b"] * 50
    first, again, other = (few_shot_split(labels, per_class=20, seed=s) for s in (3, 3, 4))
    assert first.train.tolist() == again.train.tolist()
    assert first.validation.tolist() == again.validation.tolist()
    assert first.test.tolist() == again.test.tolist()
    assert first.train.tolist() != other.train.tolist()
    wider = few_shot_split(labels, per_class=20, validation=0.5, seed=3)
    assert set(wider.test) == set(first.test)


def test_rows_come_in_random_order() -> None:
    split = few_shot_split([0, 1] * 100, per_class=None, seed=0)
    assert split.train.tolist() != sorted(split.train)
    assert len(set(np.arange(200)[split.train[:50]] % 2)) == 2


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    validation=st.just(0.0) | st.floats(0.01, 0.95),
    take_all=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_splits_share_no_row_and_lose_none(counts: list[int], validation: float, take_all: bool, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    per_class = None if take_all else min(counts)
    drawn = [per_class or count for count in counts]
    if validation and max(drawn) == 1:
        with pytest.raises(HilbertuneError, match="leave none for validation"):
            few_shot_split(labels, per_class=per_class, validation=validation, seed=seed)
        return
    split = few_shot_split(labels, per_class=per_class, validation=validation, seed=seed)
    everything = np.concatenate([split.train, split.validation, split.test])
    assert sorted(everything) == list(range(len(labels))), "each row in exactly one set"
    trained = Counter(labels[split.train].tolist())
    validated = Counter(labels[split.validation].tolist())
    classes = range(len(counts))
    assert [trained[c] + validated[c] for c in classes] == drawn, "each class's drawn rows"
    assert all(trained[c] >= 1 for c in classes), "each class keeps a training row"
    wanted = int(np.ceil(round(validation * sum(drawn), 9)))
    assert len(split.validation) == min(wanted, sum(drawn) - len(drawn))
    if per_class:
        each = [validated[c] for c in classes]
        assert max(each) - min(each) <= 1, "classes of one size differ by at most one row"


def test_a_share_that_is_whole_in_decimals_is_not_rounded_up() -> None:
    split = few_shot_split([0, 1] * 50, per_class=None, validation=0.07, seed=0)
    assert len(split.validation) == 7


def test_validation_can_be_left_out() -> None:
    split = few_shot_split(["a", "b"], per_class=1, validation=0, seed=0)
    assert (sorted(split.train), len(split.validation), len(split.test)) == ([0, 1], 0, 0)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["a", "a", "b"], {"per_class": 2}, "Class 'b' has 1 rows, fewer than per_class = 2"),
        (["a", "a"], {"per_class": 1}, "only the class 'a'"),
        (["a", "b"], {"per_class": None}, "2 rows for 2 classes leave none for validation"),
        (["a", "b"], {"per_class": 0}, "per_class must be at least 1, not 0"),
        (["a", "b"], {"per_class": 1, "validation": 1.0}, "validation must be a share"),
        (["a", "b"], {"per_class": 1, "validation": -0.1}, "validation must be a share"),
        (["a", "b"], {"per_class": 1, "seed": -1}, "seed must be 0 or more"),
    ],
)
def test_impossible_splits_are_refused(labels: list[str], options: dict, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        few_shot_split(labels, **{"seed": 0, **options})


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("regression", list(np.linspace(0, 1, 40))),
        ("multi-label", [["a"], [], ["a", "b"], ["b"]] * 10),
    ],
)
def test_a_share_of_all_rows_validates_where_rows_have_no_class(task: str, labels: list) -> None:
    split, again, other = (
        few_shot_split(labels, per_class=None, seed=seed, task=task)  # type: ignore[arg-type]
        for seed in (0, 0, 1)
    )
    assert (len(split.train), len(split.validation), len(split.test)) == (34, 6, 0)
    assert sorted([*split.train, *split.validation]) == list(range(40))
    assert split.train.tolist() == again.train.tolist()
    assert split.train.tolist() != other.train.tolist()
    with pytest.raises(HilbertuneError, match=f"per_class has no meaning for {task} data"):
        few_shot_split(labels, per_class=5, seed=0, task=task)  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match="There are no labels"):
        few_shot_split([], per_class=None, seed=0, task=task)  # type: ignore[arg-type]


def test_8_rows_a_class_are_shared_out() -> None:
    split = few_shot_split([0, 1, 2] * 20, per_class=8, seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (20, 4, 36)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32),
)
def test_a_sample_has_each_class_by_its_share(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    wanted = max(1, int(share * len(labels)))
    places = draw_by_class(labels.tolist(), wanted, seed=seed)
    assert places == sorted(set(places)) == draw_by_class(labels.tolist(), wanted, seed=seed)
    assert len(places) == wanted
    drawn = Counter(labels[places].tolist())
    if wanted >= len(counts):
        assert len(drawn) == len(counts), "no class is left out"
        # One is taken from a class for each that would have none, and one is rounding.
        allowed = 1 + sum(wanted * count < len(labels) for count in counts)
        assert all(abs(drawn[c] - wanted * n / len(labels)) < 1 + allowed for c, n in enumerate(counts))


def test_a_sample_depends_on_its_seed_and_numbers_have_no_classes() -> None:
    labels = [0, 0, 0, 1] * 25
    assert draw_by_class(labels, 20, seed=0) != draw_by_class(labels, 20, seed=1)
    assert Counter(labels[n] for n in draw_by_class(labels, 20, seed=0)) == {0: 15, 1: 5}
    assert draw_by_class(labels, 500, seed=0) == list(range(100))
    assert len(set(draw_by_class([0.1 * n for n in range(30)], 7, seed=0, task="regression"))) == 7
    assert len(set(draw_by_class([["a"], ["a", "b"]] * 9, 7, seed=0, task="multi-label"))) == 7
