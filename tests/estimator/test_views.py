"""Tables, figures and HTML of an estimator: that they show its numbers, and say what is missing."""

import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.declared import declared

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.runtime.plotting import image

SMALL: dict[str, Any] = {
    **declared(qubits=4, encoder_layers=1, reuploads=1, learning_rate=0.05),
    "encoder_connectivity": 2,
    "layers": 1,
    "epochs": 3,
    "batch_size": 32,
}
RNG = np.random.default_rng(0)
Y = np.array(["<b>no", "yes"])[np.arange(40) % 2]
X = RNG.normal(size=(40, 5)) + (Y == "yes")[:, None]


@pytest.fixture(scope="module")
def made() -> HybridClassifier:
    return HybridClassifier(**SMALL).fit(X, Y)


@pytest.fixture(scope="module")
def ensemble() -> HybridClassifier:
    return HybridClassifier(**SMALL, members=2).fit(X, Y)


def texts_of(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_the_curves_are_a_row_for_each_epoch(made: HybridClassifier) -> None:
    table = made.curves()
    assert list(table.columns) == ["epoch", "train_loss", "validation_loss", "validation_accuracy"]
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["validation_loss"].tolist() == made.training_.validation_loss[:, 0].tolist()


def test_the_curves_of_an_ensemble_have_each_member(ensemble: HybridClassifier) -> None:
    table = ensemble.curves()
    assert table[["epoch", "member"]].to_numpy().tolist() == [[e, m] for e in (1, 2, 3) for m in (1, 2)]
    assert table[table.member == 2]["train_loss"].tolist() == ensemble.training_.train_loss[:, 1].tolist()


def test_the_results_stand_beside_those_of_a_classical_head(made: HybridClassifier) -> None:
    table = made.results().set_index("method")
    assert table.loc["hybrid quantum head", "validation_accuracy"] == made.validation_accuracy_
    assert table.loc["hybrid quantum head", "parameters"] == made.head_.parameter_count
    assert table.loc["logistic regression", "validation_accuracy"] == made.classical_validation_accuracy_
    numbers = HybridRegressor(**SMALL).fit(X, X[:, 0])
    assert numbers.results()["validation_r2"].tolist() == [numbers.validation_r2_, numbers.classical_validation_r2_]


def test_without_pandas_one_sentence_says_so(made: HybridClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(HilbertuneError, match=r"^A DataFrame needs the package 'pandas': run pip install pandas\.$"):
        made.curves()


def test_a_loaded_model_has_no_curves_and_says_where_they_are(made: HybridClassifier, tmp_path: Path) -> None:
    loaded = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / "model"))
    for view in (loaded.curves, loaded.results, loaded.plot_training):
        with pytest.raises(HilbertuneError, match="was loaded, and has no"):
            view()
    assert "4 qubits" in texts_of(loaded.draw())


def test_the_figure_of_the_training_shows_the_curves(made: HybridClassifier, ensemble: HybridClassifier) -> None:
    loss, accuracy = made.plot_training().axes
    assert loss.lines[0].get_ydata().tolist() == made.training_.train_loss[:, 0].tolist()
    assert accuracy.lines[0].get_ydata().tolist() == (100 * made.training_.validation_accuracy[:, 0]).tolist()
    assert accuracy.lines[1].get_xdata()[0] == made.training_.best_epoch[0] + 1
    assert len(ensemble.plot_training().axes[0].lines) == 2 * (2 + 1)
    (only,) = HybridRegressor(**SMALL, validation=0).fit(X, X[:, 0]).plot_training().axes
    assert [line.get_label() for line in only.lines] == ["training", "kept"]


def test_the_confusion_counts_every_row_by_its_true_and_its_predicted_class(made: HybridClassifier) -> None:
    figure = made.plot_confusion(X, Y.tolist())
    answers = made.predict(X)
    shown = texts_of(figure)
    for true in made.classes_:
        for taken in made.classes_:
            count = int(((true == Y) & (answers == taken)).sum())
            assert f"{count}\n{100 * count / (true == Y).sum():.0f} %" in shown
    assert f"{(answers == Y).sum()} of 40 rows right" in shown
    with pytest.raises(HilbertuneError, match="maybe"):
        made.plot_confusion(X[:1], ["maybe"])
    with pytest.raises(HilbertuneError, match="There are 40 rows and 1 labels"):
        made.plot_confusion(X, ["yes"])


def test_rows_of_several_labels_have_no_confusion() -> None:
    many = HybridClassifier(**SMALL, task="multi-label").fit(X, np.c_[Y == "yes", Y != "yes"].astype(int))
    with pytest.raises(HilbertuneError, match="several labels"):
        many.plot_confusion(X, Y)


def test_the_circuits_are_drawn(made: HybridClassifier) -> None:
    both = texts_of(made.draw())
    assert "encoder: 4 qubits" in both
    assert "head: 4 qubits" in both
    assert "encoder" not in texts_of(made.draw("head"))
    assert image(made.draw("encoder"), ".svg").count(b"<svg") == 1
    with pytest.raises(HilbertuneError, match="no circuit 'tail': its circuits are 'encoder', 'head'"):
        made.draw("tail")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br", "input", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_head_and_an_estimator_show_themselves_in_a_notebook(made: HybridClassifier) -> None:
    page = _Page()
    page.feed(made.head_._repr_html_())
    assert page.open == []
    assert f"trained parameters{made.head_.parameter_count}" in page.text
    assert "RY(x0)" in page.text
    html = made._repr_mimebundle_()["text/html"]
    assert html.endswith(f"{made.head_._repr_html_()}</div>")
    assert f"{made.validation_accuracy_:.4f}" in html
    assert "&lt;b&gt;no" in html
    assert "<b>no" not in html.split("</style>")[-1].rsplit("<table>", 2)[-2]
    assert made._repr_html_().endswith("</div>")
    assert "trained parameters" not in HybridClassifier()._repr_mimebundle_()["text/html"]


def frames() -> list[Any]:
    numbers = pd.DataFrame(X, columns=list("abcde"))
    flags = pd.DataFrame({"yes": Y == "yes", "no": Y != "yes"}).astype("float32")
    return [
        (HybridClassifier, {}, numbers, pd.Series(Y)),
        (HybridClassifier, {}, numbers, pd.Series(Y, dtype="category")),
        (HybridClassifier, {"task": "multi-label"}, numbers, flags),
        (HybridRegressor, {}, numbers.astype("float32"), numbers["a"]),
    ]


@pytest.mark.parametrize(("kind", "changes", "rows", "labels"), frames())
def test_frames_of_pandas_bring_no_warning(kind: Any, changes: Any, rows: Any, labels: Any) -> None:
    """Since pandas 3 its arrays may not be written to, of which PyTorch warns once a program."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            weights = pd.Series(np.linspace(1, 2, len(rows)))
            kind(**{**SMALL, "epochs": 1}, **changes).fit(rows, labels, sample_weight=weights).predict(rows)
    finally:
        torch.set_warn_always(before)


def test_frames_of_texts_are_rows_and_two_columns_are_pairs_if_asked(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "cache"))
    texts, labels = two_kinds
    settings = {**SMALL, "epochs": 1, "embedding": str(tiny_models["encoder"]), "basis": "pca"}
    frame = pd.DataFrame({"text": texts})
    one = HybridClassifier(**settings).fit(frame, pd.Series(labels))
    assert one.predict(frame[:3]).tolist() == one.predict(texts[:3]).tolist()
    two = pd.DataFrame({"premise": texts, "claim": texts[::-1]})
    with pytest.raises(HilbertuneError, match="give one column of texts, or two and pairs="):
        HybridClassifier(**settings).fit(two, labels)
    pairs = HybridClassifier(**settings, pairs="u,v").fit(two, labels)
    listed = [*zip(two.premise, two.claim, strict=True)]
    assert np.array_equal(pairs.predict_proba(two), pairs.predict_proba(listed))
    loaded = HybridClassifier.from_pretrained(pairs.save_pretrained(tmp_path / "model"))
    assert np.array_equal(loaded.predict_proba(two), pairs.predict_proba(two))
