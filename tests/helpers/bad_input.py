"""A generator of bad input: command lines made from the help of each verb, files made from good ones by mutation.

In: the tree of commands, a folder of good files, a seed.
Out: command lines and damaged files, the same every time, and a verdict on what each of them ended in.
"""

import contextlib
import dataclasses
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import typer

Content = Callable[[], bytes | None]
"""What makes the content of a damaged file; None stands for a folder in its place."""

PATIENCE = 5.0
"""Seconds that a command may take without a word."""

SMALL = ["--qubits", "3", "--encoder-layers", "1", "--epochs", "1", "--no-baselines"]

BASES: dict[str, list[str]] = {
    "fit": ["fit", "--embeddings", "x.npz", "--out", "new", *SMALL],
    "evaluate": ["evaluate", "model", "x.npz"],
    "predict": ["predict", "model", "--input", "x.npz"],
    "explain": ["explain", "model", "fine"],
    "export": ["export", "model", "--onnx", "new"],
    "serve": ["serve", "absent"],
    "circuit": ["circuit", "--qubits", "3"],
    "study": ["study", "study.yaml", "--out", "new"],
    "report": ["report", "study"],
    "doctor": ["doctor"],
    "demo": ["demo", "--out", "x.npz"],
    "qpu backends": ["qpu", "backends", "--absent"],
    "qpu estimate": ["qpu", "estimate", "model", "x.npz", "--backend", "local", "--rows", "2"],
    "qpu run": ["qpu", "run", "model", "x.npz", "--backend", "local", "--rows", "2", "--shots", "10", "--out", "new"],
    "qpu resume": ["qpu", "resume", "run"],
    "qpu list": ["qpu", "list", "run"],
    "qpu status": ["qpu", "status", "run"],
    "qpu cancel": ["qpu", "cancel", "run"],
    "qpu results": ["qpu", "results", "run"],
    "energy measure": ["energy", "measure", "--", "true"],
    "energy breakeven": ["energy", "breakeven", "--simulator", "simulator.csv", "--qpu", "qpu.csv"],
}
"""A good command line of each verb, or one that is refused before it does what a test cannot wait for."""

LONG, SURROGATE = "x" * 10_000, "bytes-\udcff"

VALUES = [
    *(
        "",
        " ",
        "x",
        "-",
        "--",
        "-x",
        "none",
        "auto",
        "null",
        "Yes",  # no command of the shell: `energy measure` runs what it is given
        "[/red]",
        "{qubits}",
        "%s",
        "a\nb",
        LONG,
        SURROGATE,
    ),
    *("0", "1", "-1", "2.5", "1e3", "0x10", "1_0", "９", "nan", "inf", "-inf", "1e400", "1e-400", "1,3"),
    *("27", "1000", "1000000", "1000000000", "1000000000000", "1" + "0" * 25, "1" + "0" * 400, "-" + "9" * 30),
    *(
        "absent.csv",
        "absent/absent",
        ".",
        "..",
        "/",
        "study",
        "model",
        "x.npz",
        "x.npz/x",
        "/dev/null",
        "~nobody-here/x",
    ),
    *(
        "empty.csv",
        "broken.json",
        "wrong.npz",
        "picture.png",
        "https://localhost:9/x",
        "sqlite:////dev/null",
        "cuda:99",
    ),
]
"""Values given to every option, whatever its type."""


class Waited(BaseException):
    """The end of a command that has taken as long as anybody waits without a word; it holds what stderr said."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command ended in; `trace` is the trace-back of an error that nobody caught."""

    code: int
    out: str
    err: str
    trace: str
    waited: bool

    def fault(self) -> str | None:
        """Return what is wrong with it: a trace-back, a wait without a word, a refusal that is not one sentence."""
        words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.err)
        if self.waited:
            return None if words.strip() else "a wait without a word"
        if self.trace or "Traceback" in self.err:
            return f"trace-back: {' | '.join((self.trace or self.err).strip().splitlines()[-6:])}"
        if self.code in (0, 1):
            return None
        lines = [line for line in words.replace("\r", "\n").splitlines() if line.startswith("error: ")]
        if self.code != 2 or len(lines) != 1:
            return f"exit code {self.code} and {len(lines)} sentences: {words[-300:]!r}"
        if not words.rstrip().endswith(lines[0].rstrip()) or not lines[0].rstrip().endswith((".", "?", "--help")):
            return f"not a sentence at the end: {words[-300:]!r}"
        return "a sentence of a page's length" if len(lines[0]) > 2 * len(LONG) else None


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every verb of the command line with its path."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from verbs(below, (*path, name))
    else:
        yield " ".join(path), command


def command_lines(app: typer.Typer) -> list[list[str]]:
    """Return bad command lines: every option of every verb with every value, without one, twice, and unknown ones."""
    lines: list[list[str]] = []
    for verb, command in verbs(typer.main.get_command(app)):
        base = BASES[verb]
        end = base.index("--") if "--" in base else len(base)
        given, rest = base[:end], base[end:]
        words = verb.split()
        lines += [words, [*words, "--frobnicate"], [*given, "too", "many", *rest], [*given, "-h", *rest]]
        for parameter in command.params:
            options = [*parameter.opts, *parameter.secondary_opts]
            if not options[0].startswith("-"):
                lines += [[*words, value, *base[len(words) + 1 :]] for value in VALUES]
                continue
            for option in options:
                lines += [[*given, option, *rest], [*given, option, option, *rest]]
            lines += [[*given, options[0], value, *rest] for value in VALUES]
            lines.append([*given, f"{options[0]}=", *rest])
    return lines


JSON_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 3, 0.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, 10**400),
    *(
        "",
        "x",
        "[/red]",
        "[bold]",
        "$x$",
        "{x}",
        "\ud800",
        "\0",
        LONG,
        [],
        [[]],
        [None],
        ["x"],
        [1, 2, 3],
        {},
        {"a": 1},
    ),
]
"""Values put in place of every field of a JSON or YAML file."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field; of a list the first and the last entry stand for the others."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from places(below, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1} & set(range(len(value)))):
            yield from places(value[index], (*path, index))


def mutated_fields(value: Any) -> Iterator[tuple[str, Content]]:
    """Yield a name and the JSON for every field with every other value, without it, and with one too many."""
    for path in places(value):
        shown = ".".join(map(str, path))
        for other in JSON_VALUES:
            yield f"{shown} = {str(other)[:12]!r}", partial(_with_field, value, path, "put", other)
        yield f"without {shown}", partial(_with_field, value, path, "drop")
        yield f"{shown} twice", partial(_with_field, value, path, "again")


def _with_field(value: Any, path: tuple[Any, ...], change: str, other: Any = None) -> bytes:
    """Return JSON of a copy in which one field was changed."""
    copied = json.loads(json.dumps(value))
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    key = path[-1]
    if change == "put":
        holder[key] = other
    elif change == "drop":
        del holder[key]
    elif isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[f"{key}2"] = holder[key]
    return dumped(copied).encode()


def dumped(value: Any) -> str:
    """Return JSON, of numbers with as many digits as they have."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value)
    finally:
        sys.set_int_max_str_digits(limit)


def mutated_bytes(content: bytes, rng: random.Random, flips: int = 6) -> Iterator[tuple[str, bytes | None]]:
    """Yield a name and the content of a damaged file; None stands for a folder in its place."""
    yield "empty", b""
    for share in (0.02, 0.3, 0.7, 0.99):
        yield f"cut at {share}", content[: int(share * len(content))]
    for number in range(flips if content else 0):
        flipped = bytearray(content)
        for _ in range(1 + 20 * (number % 2)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        yield f"flips {number}", bytes(flipped)
    yield "noise", rng.randbytes(3000)
    yield "zeros", bytes(5000)
    yield "doubled", content + content
    yield "PNG", b"\x89PNG\r\n\x1a\n" + rng.randbytes(100)
    yield "ZIP", b"PK\x03\x04" + rng.randbytes(100)
    yield "SQLite header", b"SQLite format 3\0" + rng.randbytes(100)
    yield "UTF-16", content.decode("latin-1").encode("utf-16")
    yield "deep lists", b"[" * 100_000
    yield "deep tables", b'{"a":' * 100_000
    yield "null", b"null"
    yield "a list", b"[1, 2]"
    yield "a word", b"word"
    yield "a number", b"1" * 5000
    yield "a folder", None


def mutated_tables(content: bytes, folder: Path) -> Iterator[tuple[str, Content]]:
    """Yield a name and the content of an SQLite file with foreign tables or values."""
    scratch = folder / "scratch.sqlite"
    scratch.write_bytes(content)
    with contextlib.closing(sqlite3.connect(scratch)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {t: [row[1] for row in connection.execute(f"PRAGMA table_info({t})")] for t in tables}
    changes = {"foreign": [f"DROP TABLE {t}" for t in tables if not t.startswith("sqlite_")] + ["CREATE TABLE a (b)"]}
    for table in (t for t in tables if not t.startswith("sqlite_")):
        changes[f"no {table}"] = [f"DROP TABLE {table}"]
        changes[f"empty {table}"] = [f"DELETE FROM {table}"]
        changes[f"other {table}"] = [f"DROP TABLE {table}", f"CREATE TABLE {table} (other)"]
        changes[f"view {table}"] = [f"DROP TABLE {table}", f"CREATE VIEW {table} AS SELECT 1 AS id"]
        for column in columns[table]:
            changes[f"{table}: no {column}"] = [f'ALTER TABLE {table} RENAME COLUMN "{column}" TO other']
            for value in ("NULL", "'word'", "''", "-1", "1e999", "x'00ff'", "'[1'", "'{}'", "'[null]'", "10000000000"):
                changes[f"{table}.{column} = {value}"] = [f'UPDATE OR IGNORE {table} SET "{column}" = {value}']
    scratch.unlink()
    for name, statements in changes.items():
        yield name, partial(_with_statements, content, scratch, statements)


def _with_statements(content: bytes, scratch: Path, statements: list[str]) -> bytes:
    """Return an SQLite file after some statements; as it was where its own schema forbids them."""
    scratch.write_bytes(content)
    try:
        with contextlib.closing(sqlite3.connect(scratch)) as connection, connection:
            for statement in ("PRAGMA journal_mode=DELETE", *statements):
                connection.execute(statement)
        return scratch.read_bytes()
    except sqlite3.Error:
        return content
    finally:
        scratch.unlink()


YAML_TEXTS = {
    "anchors": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "arms: [{name: *j}]\n",
    "anchors as title": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "title: *j\narms: [{}]\n",
    "merges": "a: &a {b: 1}\n"
    + "".join(f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "arms: [{<<: *i}]\n",
    "a circle": "arms: &a [*a]",
    "a circle of settings": "settings: &a {qubits: *a}\narms: [{}]",
    "python": "title: !!python/object/apply:os.system ['touch /tmp/owned']\narms: [{}]",
    "python name": "title: !!python/name:os.system\narms: [{}]",
    "a set": "arms: !!set {a, b}",
    "pairs": "arms: !!pairs [a: 1]",
    "an unknown tag": "title: !mine x\narms: [{}]",
    "binary": "title: !!binary aGVsbG8=\narms: [{}]",
    "a bad date": "title: 2024-99-99\narms: [{}]",
    "a date": "title: 2024-01-01\narms: [{name: 2024-01-01}]",
    "a bad number": "seeds: !!int x\narms: [{}]",
    "a bad float": "seeds: !!float x\narms: [{}]",
    "two keys": "seeds: 2\nseeds: 3\narms: [{}]",
    "two settings": "settings: {qubits: 2, qubits: 3}\narms: [{}]",
    "two documents": "arms: [{}]\n---\narms: [{}]\n",
    "a list as key": "? [a, b]\n: c\narms: [{}]",
    "a table as key": "? {a: b}\n: c\narms: [{}]",
    "null as key": "~: c\narms: [{}]",
    "a number as key": "1: c\narms: [{}]",
    "yes as key": "settings: {yes: 1}\narms: [{}]",
    "a tab": "arms:\n\t- {}\n",
    "no end": "arms: [{",
    "deep lists": "arms: " + "[" * 50_000,
    "deep tables": "arms: " + "{a: " * 50_000,
    "deep dashes": "- " * 20_000,
    "deep whole": "arms: " + "[" * 900 + "]" * 900,
    "long": "about: " + "x " * 25_000_000 + "\narms: [{}]",
    "many keys": "settings: {" + ", ".join(f"a{i}: 1" for i in range(200_000)) + "}\narms: [{}]",
    "many arms": "arms: [" + ", ".join("{}" for _ in range(100_000)) + "]",
    "a huge number": "seeds: 1" + "0" * 5000 + "\narms: [{}]",
    "a huge octal": "seeds: 0o7" + "7" * 5000 + "\narms: [{}]",
    "sixties": "seeds: 190:20:30\narms: [{}]",
    "seeds": "seeds: 1000000000\narms: [{method: logistic regression}]",
    "a seed": "seeds: [100000000000000000000000000000]\narms: [{method: logistic regression}]",
    "epochs": "settings: {epochs: 1000000000000}\narms: [{}]",
    "shots": f"settings: {{shots: {10**25}}}\narms: [{{}}]",
    "test shots": f"conditions: {{shots: {10**25}}}\narms: [{{}}]",
    "a wide study": "seeds: 100000\nsettings: {qubits: 26}\narms: [{}]",
    "reuploads": "settings: {reuploads: 1000, layers: 1000, qubits: 20, connectivity: 19}\narms: [{}]",
    "trajectories": "settings: {trajectories: 1000000000, one_qubit_error: 0.1}\narms: [{}]",
    "members": "settings: {members: 64, qubits: 26}\narms: [{}]",
    "crossed": "arms: [{cross: {"
    + ", ".join(
        f"{n}: [{', '.join(str(v) for v in range(2, 60))}]"
        for n in ("layers", "epochs", "reuploads", "encoder_layers", "batch_size")
    )
    + "}}]",
    "tuned": "arms: [{tune: {"
    + ", ".join(
        f"{n}: [{', '.join(str(v) for v in range(2, 60))}]"
        for n in ("layers", "epochs", "reuploads", "encoder_layers", "batch_size")
    )
    + "}}]",
    "searched": "mode: search\nsearch: {trials: 1000000000}\narms: [{search: {learning_rate: {low: 0.1, high: 1.0}}}]",
    "trials": "arms: [{}, {method: logistic regression, trials: 1000000000}]",
    "budget": "arms: [{method: matched MLP, budget: 1000000000000}]",
    "factors": "design: {factors: {" + ", ".join(f"f{i}: [1, 2]" for i in range(5000)) + "}}",
    "a wide name": "arms: [{name: '{qubits:>1000000000}'}]",
    "attributes in a name": "arms: [{name: '{qubits.__class__.__mro__}'}]",
    "an index in a name": "arms: [{name: '{qubits[0]}'}, {name: '{0}'}, {name: '{}'}]",
    "markup": 'title: "[/red]"\nabout: "[bold"\narms: [{name: "[/red]"}, {method: k-NN, name: "[blink]"}]',
    "a surrogate": 'title: "\\ud800"\narms: [{name: "\\udfff"}]',
    "NUL": 'title: "\\0"\narms: [{name: "\\0"}]',
    "escape": 'title: "\\e[31m"\narms: [{name: "\\e]0;x\\a"}]',
    "dollars": 'title: "$\\\\frac{"\narms: [{name: "$x^{"}]',
    "a long name": f"title: {LONG}\narms: [{{name: {LONG}}}, {{method: logistic regression}}]",
}
"""Studies that no mutation of a good one makes."""


@contextlib.contextmanager
def limits(seconds: float, said: io.BytesIO, gigabytes: int = 6) -> Iterator[None]:
    """Raise `Waited` after some seconds, and MemoryError where a command takes more memory than a laptop has."""
    words: list[bytes] = []

    def wake(*_: Any) -> None:
        words.append(said.getvalue())  # before the interruption itself is told
        raise Waited(words[0].decode(errors="replace"))

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as lines:
        own = int(lines.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (own + (gigabytes << 30), before[1]))
    old = [(number, signal.signal(number, wake)) for number in (signal.SIGPROF, signal.SIGALRM)]
    # Work is counted in its own seconds, so that a busy machine changes nothing; sleep in the clock's.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 12 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in old:
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def answer(arguments: list[str], folder: Path, seconds: float = PATIENCE) -> Answer:
    """Run `hilbertune ARGUMENTS` in this process, in a folder, with streams as a terminal gives them."""
    from hilbertune.cli import app as cli

    streams = sys.stdin, sys.stdout, sys.stderr, sys.argv
    out, err = io.BytesIO(), io.BytesIO()
    new = (
        io.TextIOWrapper(out, "utf-8", write_through=True),
        io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True),
    )
    where, code, trace, waited, told = Path.cwd(), 0, "", False, ""
    os.chdir(folder)
    try:
        sys.argv, sys.stdin = ["hilbertune", *arguments], io.TextIOWrapper(io.BytesIO(b"fine\n"))
        sys.stdout, sys.stderr = new
        with limits(seconds, err):
            cli.main()
    except SystemExit as done:
        code = int(done.code or 0)
    except Waited as end:
        waited, told = True, str(end)
    except BaseException:
        trace = traceback.format_exc()
    finally:
        for stream in new:
            with contextlib.suppress(ValueError):  # closed by the command
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr, sys.argv = streams
        os.chdir(where)
    texts = [stream.getvalue().decode(errors="replace") for stream in (out, err)]
    return Answer(code, texts[0], told if waited else texts[1], trace, waited)


Case = tuple[str, list[str], str, Content]
"""A name, a command line, and the path and what makes the content of a damaged file; without a path none is."""


def cases(app: typer.Typer, good: Path, seed: int = 0) -> list[Case]:
    """Return all bad command lines and damaged files, shuffled."""
    lines: list[Case] = [(" ".join(word[:60] for word in line), line, "", bytes) for line in command_lines(app)]
    files = [(f"{' '.join(line)} < {name}", line, path, content) for name, line, path, content in damaged_files(good)]
    whole = lines + files
    random.Random(seed).shuffle(whole)
    return whole


def damaged_files(good: Path, seed: int = 0) -> Iterator[Case]:
    """Yield a name, a command line, and the path and the content of a damaged file that the command reads.

    `good` is a folder as `make_good_files` fills it.
    """
    rng = random.Random(seed)
    readers = {
        "study/results.json": [["report", "study"]],
        "study/runs.sqlite": [["study", "study.yaml", "--out", "study"]],
        "study/lock.sqlite": [["study", "study.yaml", "--out", "study"]],
        "searched/search.sqlite": [["study", "search.yaml", "--out", "searched"]],
        "study.yaml": [["study", "study.yaml", "--out", "new"], ["study", "study.yaml", "--out", "new", "--dry-run"]],
        "search.yaml": [["study", "search.yaml", "--out", "new"]],
        "model/config.json": [["evaluate", "model", "x.npz"], ["predict", "model", "--input", "x.npz"]],
        "model/model.safetensors": [["evaluate", "model", "x.npz"]],
        "x.npz": [["evaluate", "model", "x.npz"], BASES["fit"]],
        "texts.csv": [["fit", "texts.csv", "--out", "new", "--embedding", "absent-folder"]],
        "qpu.csv": [BASES["energy breakeven"]],
        "run/run.json": [
            ["qpu", "results", "run"],
            ["qpu", "list", "run"],
            ["qpu", "status", "run"],
            ["qpu", "resume", "run"],
        ],
        "run/rows.safetensors": [["qpu", "results", "run"]],
        "run/ledger.sqlite": [
            ["qpu", "results", "run"],
            ["qpu", "list", "run"],
            ["qpu", "status", "run"],
            ["qpu", "cancel", "run"],
            ["energy", "breakeven", "--simulator", "simulator.csv", "--ledger", "run"],
        ],
    }
    for path, commands in readers.items():
        if not (good / path).exists():
            continue
        content = (good / path).read_bytes()
        for command in commands:
            for name, other in _damaged(path, content, good, rng):
                yield f"{path}: {name}", command, path, other


def _same(content: bytes | None) -> bytes | None:
    return content


def _damaged(path: str, content: bytes, good: Path, rng: random.Random) -> Iterator[tuple[str, Content]]:
    yield from ((name, partial(_same, other)) for name, other in mutated_bytes(content, rng))
    if path.endswith(".json"):
        yield from mutated_fields(json.loads(content))
    elif path.endswith(".yaml"):
        import yaml

        yield from mutated_fields(yaml.safe_load(content))
        if path == "study.yaml":
            yield from ((name, partial(_same, text.encode())) for name, text in YAML_TEXTS.items())
    elif path.endswith(".sqlite"):
        yield from mutated_tables(content, good)
    elif path.endswith(".csv"):
        text = content.decode()
        for old in sorted(set(re.split(r"[,\n]", text)) - {""})[:8]:
            for value in ("", "x", "nan", "inf", "-1", "0", "1e400", "9" * 400, "[/red]", '"', "\0", "a,b"):
                yield f"{old} = {value[:9]}", partial(_same, text.replace(old, value, 1).encode())


STUDY = """
title: A small study
about: Of two arms.
data: {file: x.npz}
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 1, per_class: 8}
arms:
  - {name: "{learning_rate}", cross: {learning_rate: [0.01, 0.05]}}
  - {name: tuned, group: tuned, tune: {learning_rate: [0.01, 0.05]}, auto: false}
  - {method: matched linear, trials: 1, budget: 20}
conditions: {shots: [16, null], noise: forte-1}
figure: {kind: bars, x: learning_rate, series: null, conditions: false}
against: tuned
published: [{what: a paper, value: 0.9, source: "arXiv 0", x: 0.01}]
sizes: {quick: {seeds: 1}}
"""

SEARCH = """
title: A small search
mode: search
seeds: 1
data: {file: x.npz}
settings: {encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 1, per_class: 8, qubits: 3}
search: {sampler: random, trials: 2, objectives: [accuracy, parameters], prune: false}
arms:
  - {name: quantum, search: {learning_rate: {low: 1.0e-4, high: 0.1, log: true}, reuploads: {low: 1, high: 2}}}
"""


def make_good_files(folder: Path, golden: Path) -> None:
    """Fill a folder with a good file of each kind: data, a model, studies that have finished, a run on a QPU."""
    make_cheap_files(folder, golden)
    for place in ("model", "study"):
        shutil.rmtree(folder / place)
    for line in (
        [*BASES["fit"][:4], "model", *BASES["fit"][5:]],
        ["study", "study.yaml", "--out", "study"],
        ["study", "search.yaml", "--out", "searched"],
    ):
        made = answer(line, folder, seconds=300)
        assert made.code == 0, made


def make_cheap_files(folder: Path, golden: Path) -> None:
    """Fill a folder with files of the same names that need no training: an old model, results that were made up."""
    import numpy as np
    from helpers.study_results import conditions

    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(folder / "x.npz", embeddings=rng.normal(size=(40, 6)) + labels[:, None], labels=labels)
    np.savez(folder / "wrong.npz", other=labels)
    (folder / "texts.csv").write_text("text,label\n" + "fine,1\ndull,0\n" * 10)
    (folder / "empty.csv").write_text("")
    (folder / "broken.json").write_text("{")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "simulator.csv").write_text("qubits,joules,source\n10,0.1,here\n12,0.5,here\n14,2.0,here\n")
    (folder / "qpu.csv").write_text("qubits,shots,joules,source\n10,100,50,there\n12,1000,700,there\n14,100,70,there\n")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "search.yaml").write_text(SEARCH)
    shutil.copytree(golden / "qpu", folder / "run")
    shutil.copytree(golden / "model-format-2", folder / "model")
    (folder / "study").mkdir()
    shutil.copy(golden / "study" / "runs.sqlite", folder / "study")
    (folder / "study" / "lock.sqlite").write_bytes(b"")
    (folder / "study" / "results.json").write_text(json.dumps(conditions()))


def tried(line: list[str], good: Path, scratch: Path, path: str = "", make: Content = bytes) -> Answer:
    """Run a command line in a fresh copy of the good files, of which one may be damaged."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(good, scratch)
    if path:
        target = scratch / path
        target.unlink()
        content = make()
        if content is None:
            target.mkdir()
        else:
            target.write_bytes(content)
    return answer(line, scratch)


@dataclasses.dataclass
class Tally:
    """The figures of a session: what was tried, what fell, how long the slowest took."""

    tried: int = 0
    faults: dict[str, str] = dataclasses.field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")

    def add(self, name: str, run: Callable[[], Answer]) -> None:
        started = time.monotonic()
        fault = run().fault()
        self.slowest = max(self.slowest, (time.monotonic() - started, name))
        self.tried += 1
        if fault is not None:
            self.faults[name] = fault
