"""What every test stands on: no network, few threads, a throw-away cache, checked types and shapes.

In: nothing. Out: an environment set before `hilbertune` is imported, and an import hook that has
beartype check the annotations of the package (array shapes included) on every call.
"""

import functools
import inspect
import io
import os
import sys
import tempfile
import typing
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # more than one, so that races can show
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit and share the folder
    _cache = tempfile.TemporaryDirectory(prefix="hilbertune-tests-")
    os.environ["HILBERTUNE_CACHE"] = _cache.name

# Before the hook, which would have Python compile anew whatever a hooked module imports first.
import jaxtyping
import numba  # noqa: F401
import pytest
import torch
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException
from hypothesis import settings

# Read when Triton is imported, which any use of torch.compile does: without a GPU its kernels are interpreted.
os.environ["TRITON_INTERPRET"] = str(int(not torch.cuda.is_available()))


class _Unchecked:
    """Loads the kernels as they are: Numba and Triton cannot compile a function that is wrapped in a check."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name in (
            "hilbertune.engine.gates",
            "hilbertune.engine.draws",
            "hilbertune.engine.gpu_draws",
            "hilbertune.engine.kernels",
            "hilbertune.engine.lanes",
            "hilbertune.engine.gpu",
            "hilbertune.model.kernels",
            "hilbertune.model.goals",
        ):
            return PathFinder.find_spec(name, path, target)
        return None


_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for mypy


def check(function: Any) -> Any:
    """Return the function with its annotations checked, or as it is if one (Self) is beyond beartype."""
    try:
        return _beartype(function)
    except BeartypeDecorHintException:
        return function


_shapes_checked = jaxtyping.jaxtyped


def _names_a_shape(hint: Any) -> bool:
    shaped = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return shaped or any(map(_names_a_shape, typing.get_args(hint)))


def jaxtyped(function: Any = None, *, typechecker: Any) -> Any:
    """Check a function without shapes by beartype alone: jaxtyping binds its arguments anew and checks them twice."""
    if function is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    # The fields of a dataclass are checked when it is made: it may refuse them in its own words first.
    made = getattr(function, "__name__", "") == "__init__"
    if made or not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
        return _shapes_checked(function, typechecker=typechecker)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # of a name that is not there yet jaxtyping makes Any
        return _shapes_checked(function, typechecker=typechecker)
    if inspect.iscoroutinefunction(function) or any(map(_names_a_shape, hints.values())):
        return _shapes_checked(function, typechecker=typechecker)
    checked = typechecker(function)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return (function if jaxtyping.config.jaxtyping_disable else checked)(*arguments, **named)

    return call


jaxtyping.jaxtyped = jaxtyping._decorator.jaxtyped = jaxtyped
assert "hilbertune" not in sys.modules, "imported before its types could be checked"
jaxtyping.install_import_hook("hilbertune", f"{__name__}.check")
sys.meta_path.insert(0, _Unchecked)

# A run on a build machine can be repeated exactly; elsewhere every run tries new examples.
settings.register_profile("hilbertune", max_examples=50, deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("hilbertune")


EXPECTED_SKIPS = (
    "there is no GPU",
    "needs Debian's postgresql, and root to become its user",
    "needs Debian's slurmctld, slurmd and slurm-client, and root",
    "SCIPY_ARRAY_API is not set",  # one of scikit-learn's own checks of an estimator
    "No module named 'qiskit_braket_provider'",  # Braket pins a cloudpickle that joblib refuses
)
"""Why a test may be skipped on a machine on which everything was installed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unexpected-skips",
        action="store_true",
        help="Fail if a test is skipped for another reason than those that are expected.",
    )


class _Skips:
    """Collect why tests were skipped, and fail the session if it is for another reason than EXPECTED_SKIPS."""

    def __init__(self) -> None:
        self.unexpected: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report.nodeid, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report.nodeid, report)

    def _note(self, name: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            if not any(expected in reason for expected in EXPECTED_SKIPS):
                self.unexpected.add(f"{name}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for line in sorted(self.unexpected):
            terminalreporter.write_line(f"UNEXPECTED SKIP {line}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    # With several processes the first one sees the reports of all.
    if config.getoption("--no-unexpected-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Skips())


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run-time checks: for tests that hand a function what its annotations forbid."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`hilbertune ARGUMENTS` in this process: exit code, stdout, stderr."""
    from hilbertune.cli import app as cli

    def call(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hilbertune", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code: Any = 0
        try:
            cli.main()
        except SystemExit as done:
            code = done.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make folders of plain Hugging Face models of random weights, 16 numbers wide.

    An encoder, a causal language model, one of pictures and one of sound; the words are w0 ... w29, good, bad, film.
    """
    import json

    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    root = tmp_path_factory.mktemp("models")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *(f"w{i}" for i in range(30)),
        "good",
        "bad",
        "film",
    ]

    def tokenizer(folder: Path, **special: str) -> None:
        made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", **special).save_pretrained(
            folder
        )

    size = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    torch.manual_seed(0)
    tokenizer(root / "encoder", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    transformers.BertModel(
        transformers.BertConfig(vocab_size=len(words), num_hidden_layers=3, max_position_embeddings=32, **size)
    ).save_pretrained(root / "encoder")
    tokenizer(root / "causal")  # no token for padding, as causal models have none
    transformers.MistralModel(
        transformers.MistralConfig(
            vocab_size=len(words),
            num_hidden_layers=2,
            num_key_value_heads=2,
            max_position_embeddings=32,
            **size,
        )
    ).save_pretrained(root / "causal")
    transformers.ViTModel(
        transformers.ViTConfig(num_hidden_layers=1, image_size=16, patch_size=8, **size),
        add_pooling_layer=False,
    ).save_pretrained(root / "pictures")
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(root / "pictures")
    transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(
            num_hidden_layers=1,
            conv_dim=(8,),
            conv_stride=(100,),
            conv_kernel=(200,),
            num_feat_extract_layers=1,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            **size,
        )
    ).save_pretrained(root / "sound")
    (root / "sound/vocab.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}))
    transformers.Wav2Vec2Processor(
        transformers.Wav2Vec2FeatureExtractor(),
        transformers.Wav2Vec2CTCTokenizer(str(root / "sound/vocab.json")),
    ).save_pretrained(root / "sound")
    return {name: root / name for name in ("encoder", "causal", "pictures", "sound")}


@pytest.fixture(scope="session")
def two_kinds() -> tuple[list[str], list[str]]:
    """24 texts that the tiny models can tell apart, and their labels."""
    texts = [f"w{i} {word} film w{29 - i}" for i in range(12) for word in ("good", "bad")]
    return texts, ["positive", "negative"] * 12
