"""Names beside lines and points: none on a line, none on another, all where they belong."""

import numpy as np
import pytest
from helpers.pictures import collisions
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from hilbertune.runtime.labels import Name, lay_out, name_ends, name_points
from hilbertune.runtime.plotting import in_style, new_figure

heights = st.lists(st.integers(0, 100).map(lambda percent: percent / 100), min_size=1, max_size=10)


@settings(max_examples=8)
@given(heights)
@in_style
def test_names_at_ends_do_not_touch_and_keep_the_order_of_their_lines(ends: list[float]) -> None:
    figure = new_figure(5, 4, layout="constrained")
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    for end in ends:
        axes.plot([0, 1], [0.5, end])
    name_ends(axes, [Name(f"line {i}\nof {len(ends)}", 1.0, end) for i, end in enumerate(ends)])
    lay_out(figure)
    assert collisions(figure) == []
    places = [Text.get_window_extent(text).y0 for text in axes.texts]  # without the line that leads to it
    order = np.argsort(ends, kind="stable")
    assert (np.diff(np.array(places)[order]) > 0).all()


@pytest.mark.parametrize("count", [3, 12])
@in_style
def test_names_of_points_keep_off_marks_lines_and_each_other(count: int) -> None:
    rng = np.random.default_rng(count)
    x, y = rng.uniform(0, 1, (2, count))
    figure = new_figure(5, 4, layout="constrained")
    axes = figure.subplots()
    axes.errorbar(x, y, yerr=0.1, fmt="o")
    axes.axhline(0.5)
    axes.plot([0, 1], [0, 1])
    lay_out(figure)
    names = [Name(f"point {i}", *place) for i, place in enumerate(zip(x, y, strict=True))]
    left_out = name_points(axes, names)
    shown = [text.get_text() for text in axes.texts]
    assert sorted([*shown, *left_out]) == sorted(name.text for name in names)
    assert len(shown) > 0.6 * count
    assert collisions(figure) == []


@in_style
def test_a_name_without_room_is_left_out() -> None:
    figure = new_figure(2, 2, layout="constrained")
    axes = figure.subplots()
    axes.plot([0.5], [0.5], "o")
    lay_out(figure)
    assert name_points(axes, [Name("a name that is much wider than its axes", 0.5, 0.5)]) == [
        "a name that is much wider than its axes"
    ]
    assert not axes.texts
