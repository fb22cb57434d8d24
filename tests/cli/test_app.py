"""The whole command line: its help, and what a mistake ends in."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Run

import hilbertune
from hilbertune.errors import HilbertuneError

VERBS = [
    "fit",
    "demo",
    "evaluate",
    "predict",
    "explain",
    "export",
    "serve",
    "circuit",
    "study",
    "report",
    "doctor",
]


QPU_VERBS = ["backends", "estimate", "run", "resume", "list", "status", "cancel", "results"]


@pytest.mark.parametrize("verb", [*VERBS, *(f"qpu {verb}" for verb in QPU_VERBS), "energy measure", "energy breakeven"])
def test_the_help_of_a_verb_has_examples_that_can_be_copied(run: Run, verb: str) -> None:
    code, out, err = run(*verb.split(), "--help")
    assert (code, err) == (0, "")
    flags, shown = out.split("Examples:")
    lines = re.sub(r" \\\n +", " ", shown).splitlines()[1:]
    examples = [re.fullmatch(r"  (?:.*(?:\| | -m ))?hilbertune ((?:qpu |energy )?\w+)(.*)", line) for line in lines]
    assert examples
    assert {example and example[1] for example in examples} == {verb}
    assert max(map(len, out.splitlines())) <= 80
    for example in examples:
        for flag in re.findall(r"--[a-z-]+", example[2].split(" -- ")[0]):  # type: ignore[index]
            assert flag in flags


def test_help_is_grouped_and_breaks_no_name(run: Run) -> None:
    out = run("fit", "-h")[1]
    assert re.findall(r"^(\w+):$", out, re.MULTILINE) == [
        "Arguments",
        "Data",
        "Shape",
        "Training",
        "Tuning",
        "Options",
        "Output",
        "Examples",
    ]
    groups = dict(re.findall(r"^(\w+):\n((?:  .*\n)+)", out, re.MULTILINE))
    for flag, group in (
        ("--test-rest", "Data"),
        ("--preset", "Shape"),
        ("--learning-rate, --lr", "Training"),
        ("--seed, --random-state", "Training"),
        ("--base-learning-rate, --base-lr", "Tuning"),
        ("-o, --out, --output-dir", "Output"),
    ):
        assert re.search(rf"^  {flag}( <.*|  .*)$", groups[group], re.MULTILINE)
    assert not [line for line in out.splitlines() if line.endswith("-")]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_the_package(run: Run, flag: str) -> None:
    assert run(flag) == (0, f"hilbertune {hilbertune.__version__}\n", "")


def test_completion_installs_and_completes_flags_and_studies(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, out, _ = run("--install-completion", "bash")
    assert (code, "completion installed" in out) == (0, True)
    (script,) = tmp_path.rglob("hilbertune.sh")
    assert "_HILBERTUNE_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    monkeypatch.setenv("_HILBERTUNE_COMPLETE", "complete_bash")
    for words, known in (("fit --bas", {"--basis", "--base-lr"}), ("study abl", {"ablations"})):
        monkeypatch.setenv("COMP_WORDS", f"hilbertune {words}")
        monkeypatch.setenv("COMP_CWORD", "2")
        assert known <= set(run()[1].split())


def test_a_quiet_command_leaves_out_remarks_and_a_verbose_one_tells_where_an_error_arose(run: Run) -> None:
    code, out, err = run("circuit", "--preset", "published-374", "--draw", "x.txt")
    assert (code, err.count("\n")) == (2, 1)
    for before, after in (((), ("-v",)), (("--verbose",), ())):
        code, out, err = run(*before, "circuit", "--preset", "published-374", "--draw", "x.txt", *after)
        assert (code, out) == (2, "")
        assert re.search(r"^  .*/plotting\.py:\d+ in check_format$", err, re.MULTILINE)
        assert err.splitlines()[-1].startswith("error: ")
    assert run("circuit", "--preset", "published-374", "--draw", "x.txt")[2].count("\n") == 1  # it is not kept


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_verbs(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    listed = re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.MULTILINE)
    assert listed == [*VERBS, "qpu", "energy"]


@pytest.mark.parametrize("arguments", [["qpu"], ["qpu", "--help"]])
def test_help_lists_the_verbs_of_the_qpu(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.MULTILINE) == QPU_VERBS


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit"], "Missing option '--out' / '-o' / '--output-dir': see hilbertune fit --help."),
        (["nope"], "No such command 'nope': see hilbertune --help."),
        (["fit", "--qubit", "3", "--out", "m"], r"No such option: --qubit.*: see hilbertune fit"),
        (["circuit", "--qubits", "4.5"], "Invalid value for '--qubits': .*integer.*"),
        (["circuit", "--merge", "sum"], "Invalid value for '--merge': .*'concatenate'.*"),
        (["demo", "--seeds", "0"], "Invalid value for '--seeds': .*1.*"),
    ],
    ids=str,
)
def test_a_flag_that_cannot_be_read_is_one_sentence(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(f"error: {sentence}.*\n", err), err


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (HilbertuneError("Do this."), 2, "error: Do this.\n"),
        (HilbertuneError("Two\nlines."), 2, "error: Two lines.\n"),
        (KeyboardInterrupt(), 130, "Stopped. The same command resumes a training from its last checkpoint"),
        (OSError(28, "No space left on device", "x"), 2, "error: x: No space left on device.\n"),
        (OSError("odd"), 2, "error: odd.\n"),
        (MemoryError(), 2, "error: The memory is full"),
    ],
    ids=repr,
)
def test_what_goes_wrong_ends_in_a_code_and_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    monkeypatch.setattr("hilbertune.cli.machine.examine", raising(error))
    ended, out, err = run("doctor")
    assert (ended, out) == (code, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_a_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilbertune.cli.machine.examine", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("doctor")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m hilbertune circuit --qubits 12 --layers 200 --format qasm3 | head -1; "
        "echo ${PIPESTATUS[0]}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.split() == [b"OPENQASM", b"3.0;", b"0"]
    assert done.stderr == b""
