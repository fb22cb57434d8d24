"""The one style: colours that everyone can tell apart, on light and dark ground."""

import itertools
import pickle
import re

import matplotlib
import numpy as np
import pytest

from hilbertune.baselines.families import FAMILIES
from hilbertune.runtime import plotting
from hilbertune.runtime.plotting import DARK, PAPER, image, in_style, method_look, new_figure

METHODS = ("QUANTUM", "LINEAR", "KERNEL", "PERCEPTRON", "TREES", "OTHER")
SIGHTS = {
    # Machado, Oliveira and Fernandes 2009, of severity 1.
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    """Return the light of red, green and blue."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b*, in which distances are those that people see."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    dim, bright = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_colours_of_methods_can_be_told_apart(sight: str) -> None:
    light = [getattr(plotting, name) for name in METHODS]
    for colours in (light, [DARK[colour] for colour in light]):
        seen = {colour: lab(np.array(SIGHTS[sight]) @ linear(colour)) for colour in colours}
        for one, other in itertools.combinations(colours, 2):
            assert np.linalg.norm(seen[one] - seen[other]) > 14, (one, other)


def test_everything_stands_out_from_its_ground() -> None:
    for name in (*METHODS, "AGAINST", "INK", "MUTED"):
        colour = getattr(plotting, name)
        assert contrast(colour, PAPER) > 3, name
        assert contrast(DARK[colour], DARK[PAPER]) > 3, name
    for colour in (plotting.WEIGHT, plotting.INPUT):
        assert contrast(colour, "#000000") > 4.5, "the labels of gates are black"
    assert contrast(plotting.WIRE, PAPER) > 3
    assert contrast(plotting.WIRE, DARK[PAPER]) > 3


def test_a_method_has_one_colour_and_quantum_shares_its_own_with_none() -> None:
    assert method_look("quantum", "hybrid") == method_look("quantum", "any other") == (plotting.QUANTUM, "o")
    for name in FAMILIES:
        colour, _ = method_look("classical", name)
        assert colour != plotting.QUANTUM
        assert colour != plotting.OTHER or name == "k-NN", f"{name} has no colour of its own"
    for one, other in (("MLP 48", "MLP, 48 hidden"), ("logistic regression, matched", "matched linear")):
        assert method_look("classical", one) == method_look("classical", other)


@in_style
def drawing() -> bytes:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.plot([0, 1], color=plotting.QUANTUM)
    axes.set_title("a title")
    return image(figure, ".svg")


def test_an_svg_turns_dark_where_the_reader_prefers_that() -> None:
    before = dict(matplotlib.rcParams)
    drawn = drawing().decode()
    assert dict(matplotlib.rcParams) == before
    style = re.search(r'<style type="text/css">(.*?)</style>', drawn, re.DOTALL)
    assert style is not None
    assert style[1].startswith("@media screen and (prefers-color-scheme: dark)")
    rules = dict(
        re.findall(r'\[style\*="((?:fill|stroke): #\w+)"\] \{ ((?:fill|stroke): #\w+) !important \}', style[1])
    )
    used = set(re.findall(r"(?:fill|stroke): #\w+", drawn.replace(style[1], "")))
    assert {f"fill: {plotting.INK}", f"stroke: {plotting.QUANTUM}", f"fill: {PAPER}"} <= used
    assert used <= rules.keys(), "a colour that stays as it is when the ground turns dark"
    assert "#000000" not in drawn


def test_a_notebook_is_given_a_picture_and_figures_can_be_pickled() -> None:
    figure = new_figure(3, 2)
    figure.add_subplot().plot([0, 1], [1, 0])
    for one in (figure, pickle.loads(pickle.dumps(figure))):
        assert "<svg" in one._repr_svg_()
