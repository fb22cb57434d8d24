"""The whole command line: all verbs under one program.

In: `hilbertune VERB ...`.
Out: exit code 0, or 2 with one sentence on stderr for a mistake that the user can mend.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from hilbertune.cli import circuit, demo, doctor, energy, evaluate, fit, predict, qpu, study, use
from hilbertune.cli.fit_config import with_its_file
from hilbertune.cli.output import LOUDNESS, one_line, say, with_loudness
from hilbertune.cli.pages import Verb, Verbs
from hilbertune.cli.terminal import has_no_reader, silence, usable_streams
from hilbertune.errors import HilbertuneError, first_line

app = typer.Typer(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train, trust and run classifiers with a quantum head.",
)
for verb in (
    fit.fit,
    demo.demo,
    evaluate.evaluate,
    predict.predict,
    use.explain,
    use.export,
    use.serve,
    circuit.circuit,
    study.study,
    study.report,
    doctor.doctor,
):
    app.command()(verb)
app.add_typer(qpu.app, cls=Verbs)
app.add_typer(energy.app, cls=Verbs)
for group in (app, qpu.app, energy.app):
    for made in group.registered_commands:
        assert made.callback is not None
        made.cls, made.callback = Verb, with_loudness(made.callback)


def _version(asked: bool) -> bool:
    """Print the version and leave, if that was asked for."""
    if asked:
        from hilbertune import __version__

        print(f"hilbertune {__version__}")
        raise typer.Exit
    return asked


Version = Annotated[
    bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and leave.")
]


@app.callback()
@with_loudness
def _before_the_verb(version: Version = False) -> None:
    """Take the flags that stand before the verb."""


FULL = "The memory is full: use fewer qubits, smaller batches or fewer seeds at once."

UsageError: Any = typer.BadParameter.mro()[1]
"""The exception that typer raises for flags it cannot read; releases differ in where it lives."""


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    with usable_streams():
        try:
            with _told():
                _run()
        finally:
            # The interpreter would end with a code of its own if it could not write what is left.
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                silence(sys.stdout)


def _run() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    LOUDNESS.set(0)
    command: Any = typer.main.get_command(app)
    command.complete_and_leave("hilbertune")
    arguments = sys.argv[1:]
    if arguments in ([], ["qpu"], ["energy"]):  # a group without a verb
        arguments = [*arguments, "--help"]
    # Not app(): typer would print usage errors on several lines and swallow the other exceptions.
    try:
        with command.make_context("hilbertune", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except UsageError as error:
        _fail(_of_a_flag(error))
    except HilbertuneError as error:
        if LOUDNESS.get() >= 1:
            _say_where(error)
        _fail(str(error))
    except KeyboardInterrupt:
        say(
            "Stopped. The same command resumes a training from its last checkpoint, "
            "'hilbertune qpu resume' a run on a QPU."
        )
        sys.exit(130)


def _say_where(error: BaseException) -> None:
    """Say through which lines of the package an error came; with two --verbose through which lines at all."""
    ours = str(Path(__file__).parents[1])
    while error.__cause__ is not None:  # where it arose, not where it was put into other words
        error = error.__cause__
    for frame in traceback.extract_tb(error.__traceback__):
        if LOUDNESS.get() >= 2 or frame.filename.startswith(ours):
            say(f"  {frame.filename}:{frame.lineno} in {frame.name}")


def _of_a_flag(error: Any) -> str:
    """Return what is wrong with a flag, and where help is."""
    sentence = error.format_message().rstrip(".")
    if error.ctx is None:
        return f"{sentence}: see hilbertune --help."
    about = getattr(error, "param", None)
    return f"{with_its_file(sentence, error.ctx, [about.name] if about else [])}: see {error.ctx.command_path} --help."


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the machine cannot do into a sentence."""
    try:
        os.getcwd()  # libraries of linear algebra end the process where there is none
        yield
    except BrokenPipeError as error:
        # A reader such as `head` has what it wanted; it may also have been another pipe or connection.
        if not has_no_reader(sys.stdout):
            _fail(_of_the_system(error))
    except OSError as error:
        _fail(_of_the_system(error))
    except UnicodeEncodeError as error:
        _fail(f"The locale cannot spell {error.object!r}: set PYTHONUTF8=1.")
    except Exception as error:
        if (sentence := _of_packages(error)) is None:
            raise
        _fail(sentence)


def _of_packages(error: Exception) -> str | None:
    """Return what is wrong where packages have errors of their own for it, None for a fault of ours."""
    # A RuntimeError is torch's word for a full memory.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate" in str(error)):
        return FULL
    if sys.flags.optimize < 2:
        return None
    # transformers reads the docstrings of its classes.
    return f"Python's option -OO removes docstrings, which packages here need ({first_line(error)}): leave it out."


def _of_the_system(error: OSError) -> str:
    """Return the system's error as a sentence."""
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return "The current folder no longer exists: change to one that does."
    return ": ".join(str(v) for v in (error.filename, error.strerror or error) if v) + "."


def _fail(sentence: str) -> NoReturn:
    say("error: " + one_line(sentence))
    sys.exit(2)
