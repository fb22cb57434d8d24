"""Reading a study: a YAML file becomes a checked `Study`.

In: a configuration, which says what to compare and to tune, the seeds, and the conditions of the test.
Out: a `Study`; a mistake is one sentence that names the nearest valid word. Needs neither torch nor Numba.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilbertune.baselines.families import FAMILIES
from hilbertune.circuit.sources import with_texts
from hilbertune.config.automatic import AUTO, DECLARED, LEFT_TO_THE_DATA
from hilbertune.config.circuits import OWN
from hilbertune.config.sizes import LARGEST_SEED, MOST_SEEDS
from hilbertune.errors import HilbertuneError, MissingExtraError, nearest, require, shown
from hilbertune.runtime.schema import read_bytes
from hilbertune.runtime.yaml_text import parse_yaml
from hilbertune.study.plan import (
    BASE,
    HYBRID,
    SETTINGS,
    Arm,
    Search,
    Settings,
    Study,
    check_settings,
    configs,
    hybrid_trials,
    spell_out_noise,
)

MOST_ARMS, MOST_TRIALS = 1_000, 10_000
"""Most arms that one entry crosses to, and most trials of an arm."""

KEYS = {
    "study": "title about mode search data seeds settings arms design conditions figure against published sizes",
    "data": "file text label split embedding",
    "arm": "name group method trials budget cross tune search auto",
    "search": "sampler trials objectives prune",
    "range": "low high log step",
    "figure": "kind x series conditions",
    "design": "factors",
    "published": "what value source x",
}
"""The keys of each table of a configuration; an arm may hold settings too."""


def read_study(path: str | Path, *, size: str = "full", seeds: int | None = None) -> Study:
    """Read and check a configuration.

    Args:
        path: a YAML file; docs/howto/studies.md describes it.
        size: a name under `sizes`, whose entries replace those of the configuration; "full" replaces none.
        seeds: use the seeds 0, 1, ... of this number instead.

    Raises:
        HilbertuneError: no such file, no YAML, an unknown key or setting (the nearest valid one is named), or a value
            out of range.
        MissingExtraError: the extra `study` is not installed.
    """
    path = Path(path)
    try:
        return _read_study(path, size, seeds)
    except MissingExtraError:
        raise
    except HilbertuneError as error:
        sentence = str(error)
        raise HilbertuneError(sentence if path.name in sentence else f"{path.name}: {sentence}") from error


def _read_study(path: Path, size: str, seeds: int | None) -> Study:
    """Read a study; not every mistake is told with the name of its file."""
    given, text = _read(path, size)
    _check_parts(given)
    arms = _all_arms(given, path)
    search = _search(given, arms)
    against, names = given.get("against"), [arm.name for arm in arms]
    if against is not None and (against := str(against)) not in names:
        raise HilbertuneError(f"'against' names no arm: {nearest(against, names)}")
    return Study(
        title=str(given.get("title", path.stem)),
        about=" ".join(str(given.get("about", "")).split()),
        data=given.get("data", {}),
        arms=arms,
        seeds=_seeds(given.get("seeds", 10) if seeds is None else seeds),
        conditions=_conditions(given.get("conditions", {})),
        figure={"kind": "bars", "x": None, "series": None, "conditions": False} | given.get("figure", {}),
        against=against,
        published=[{"x": None} | entry for entry in given.get("published", [])],
        factors=given.get("design", {}).get("factors", {}),
        size=size,
        text=text,
        search=search,
    )


def sizes_of(path: Path) -> list[str]:
    """Return the sizes in which a study can be run."""
    return ["full", *_table(path)[0].get("sizes", {})]


def _read(path: Path, size: str) -> tuple[dict[str, Any], str]:
    """Return the table of a file, with the entries of a size, every key of its type, and the text it was read from."""
    whole, text = _table(path)
    from hilbertune.study import schema  # here: its types are pydantic's

    given = _of_size(whole, size, path.name)
    schema.check_types(given, path.name)
    return given, text


def _table(path: Path) -> tuple[dict[str, Any], str]:
    """Return the whole table of a file, every key of its type, and the text it was read from."""
    for module in ("yaml", "pydantic"):
        require(module, "study")
    from hilbertune.study import schema  # here: its types are pydantic's

    try:
        text = read_bytes(path, schema.LARGEST_STUDY).decode()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, HilbertuneError):
            raise
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise HilbertuneError(f"Cannot read the study {path}: {reason}.") from error
    whole = parse_yaml(text, path.name, kind="a study", needs="keys such as 'title' and 'arms'")
    schema.check_types(whole, path.name)
    return whole, text


def _of_size(given: dict[str, Any], size: str, name: str) -> dict[str, Any]:
    """Return the configuration with the entries of one of its sizes in place of its own."""
    _refuse_unknown(given, KEYS["study"].split(), "a study")
    sizes = given.pop("sizes", {})
    if size == "full":
        return given
    if size not in sizes:
        known = ", ".join(["full", *sizes])
        raise HilbertuneError(f"{name} has no size {shown(size)}: choose from {known}.")
    _refuse_unknown(sizes[size], KEYS["study"].split(), f"the size {size!r}")
    return _merged(given, sizes[size])


def _check_parts(given: Mapping[str, Any]) -> None:
    """Raise HilbertuneError for an unknown key in one of the tables of a configuration."""
    for part in ("data", "figure", "design"):
        _refuse_unknown(given.get(part, {}), KEYS[part].split(), repr(part))
    for entry in given.get("published", []):
        _refuse_unknown(entry, KEYS["published"].split(), "'published'")
    _refuse_unknown(given.get("settings", {}), SETTINGS, "'settings'")


def _all_arms(given: Mapping[str, Any], path: Path) -> list[Arm]:
    """Return the arms under `arms` and those of a screening design; no two may have the same name."""
    common = given.get("settings", {})
    arms = [arm for entry in given.get("arms", []) for arm in _arms(entry, common, path.parent)]
    arms += _screening_arms(given.get("design", {}).get("factors", {}), common, path.parent)
    if not arms:
        raise HilbertuneError(f"{path.name} has no arms: list under 'arms' what to compare.")
    names = [arm.name for arm in arms]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise HilbertuneError(
            f"Two arms are named {twice!r}: tell them apart, with {{a setting}} in the name if they are crossed."
        )
    return arms


def _seeds(asked: Any) -> list[int]:
    """Return the seeds 0, 1, ... of a number, or the seeds of a list."""
    seeds = list(range(asked)) if type(asked) is int and asked <= MOST_SEEDS else asked
    right = isinstance(seeds, list) and all(type(s) is int and 0 <= s <= LARGEST_SEED for s in seeds)
    if not right or not 0 < len(seeds) <= MOST_SEEDS or len(set(seeds)) < len(seeds):
        raise HilbertuneError(
            f"seeds must be a number of seeds up to {MOST_SEEDS:,}, or a list of different seeds from 0 to "
            f"{LARGEST_SEED}, not {shown(asked)}."
        )
    return seeds


def _search(given: Mapping[str, Any], arms: Sequence[Arm]) -> Search | None:
    """Return the search that 'mode: search' asks for; None for a grid."""
    mode, about = given.get("mode", "grid"), given.get("search", {})
    searched = [arm for arm in arms if arm.search]
    if mode not in ("grid", "search"):
        raise HilbertuneError(f"'mode' is grid or search, not {shown(mode)}.")
    if mode == "grid":
        if searched or about:
            raise HilbertuneError("Ranges under 'search' need 'mode: search'.")
        return None
    if not searched:
        raise HilbertuneError("'mode: search' needs an arm with ranges under 'search'.")
    _refuse_unknown(about, KEYS["search"].split(), "'search'")
    objectives = _objectives(about.get("objectives", ["accuracy"]))
    sampler, trials = about.get("sampler", "tpe"), about.get("trials", 30)
    if sampler not in (samplers := ("tpe", "gp", "random", "qmc")):
        raise HilbertuneError(f"There is no sampler {shown(sampler)}: {nearest(sampler[:100], samplers)}")
    if not isinstance(trials, int) or trials < 1:
        raise HilbertuneError("'trials' under 'search' must be a whole number of at least 1.")
    prune = bool(about.get("prune", False))
    if prune and objectives != ("accuracy",):
        raise HilbertuneError("'prune' judges accuracy alone: leave other objectives out.")
    return Search(sampler, trials, objectives, prune)


def _objectives(asked: Any) -> tuple[str, ...]:
    """Return the objectives of a search, checked."""
    known = ("accuracy", "parameters", "depth", "price")
    if not isinstance(asked, list) or not asked or len(set(asked)) < len(asked):
        raise HilbertuneError("'objectives' must be a list of different objectives.")
    for objective in asked:
        if objective not in known:
            raise HilbertuneError(f"There is no objective {shown(objective)}: {nearest(objective[:100], known)}")
    return tuple(asked)


def _check_range(name: str, space: Any) -> None:
    """Raise HilbertuneError unless `space` is a list of choices or a table with low and high."""
    if isinstance(space, list) and space:
        if not all(value is None or isinstance(value, str | int | float) for value in space):
            raise HilbertuneError(f"The choices of {name!r} must be numbers, words, true, false or null.")
        return
    _refuse_unknown(space, KEYS["range"].split(), f"the range of {name!r}")
    low, high = space.get("low"), space.get("high")
    if not all(isinstance(v, int | float) for v in (low, high)) or not low < high:
        raise HilbertuneError(f"The range of {name!r} needs a 'low' below its 'high'.")
    log = space.get("log", False)
    if not isinstance(log, bool):
        raise HilbertuneError(f"'log' of the range of {name!r} is true or false, not {shown(log)}.")
    if log and low <= 0:
        raise HilbertuneError(f"The range of {name!r} is logarithmic: 'low' must be above 0.")
    if "step" not in space:
        return
    step, whole = space["step"], isinstance(low, int) and isinstance(high, int)
    if log or isinstance(step, bool) or not isinstance(step, int if whole else int | float) or not step > 0:
        raise HilbertuneError(
            f"'step' of the range of {name!r} is a number above 0, for a range that is not logarithmic: "
            f"not {shown(step)}."
        )


def _refuse_unknown(given: Any, known: Sequence[str], place: str) -> None:
    """Raise HilbertuneError unless `given` is a table whose keys are all known."""
    if not isinstance(given, dict):
        raise HilbertuneError(f"{place} must be a table of keys and values, not {shown(given)}.")
    for key in given:
        if key not in known:
            raise HilbertuneError(f"{shown(key)} is not a key of {place}: {nearest(shown(key)[1:-1], known)}")


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both tables as one: `over` wins, and tables inside are merged key by key."""
    both = {k: _merged(base[k], v) for k, v in over.items() if isinstance(base.get(k), dict)}
    return {**base, **over, **both}


def _arms(entry: Any, common: Settings, folder: Path) -> Iterator[Arm]:
    """Yield the arms of an entry: one for each combination under `cross`; files of circuits lie in `folder`."""
    own = KEYS["arm"].split()
    _check_entry(entry, own)
    method, cross = entry.get("method", HYBRID), entry.get("cross", {})
    fixed = {k: v for k, v in entry.items() if k not in own}
    left = LEFT_TO_THE_DATA if entry.get("auto") else {}
    title = str(entry.get("name", method))
    # The part of the name that the arms of an entry have in common.
    group = re.sub(r",?[^,]*\{[^}]*\}[^,]*", "", title).strip() or method
    _refuse_many(cross, MOST_ARMS, "arms of an entry", "values under 'cross'")
    _refuse_many(entry.get("tune", {}), MOST_TRIALS, "trials of an arm", "values under 'tune'")
    for values in itertools.product(*cross.values()):
        factors = dict(zip(cross, values, strict=True))
        settings = {**left, **common, **fixed, **factors}
        arm = Arm(
            name=_arm_name(title, factors, {**_defaults(), **settings, "method": method}),
            group=str(entry.get("group", group)),
            method=method,
            settings=_whole(settings, entry, folder),
            factors=factors,
            tune=with_texts(entry.get("tune", {}), folder),
            trials=entry.get("trials"),
            budget=entry.get("budget"),
            search=with_texts(entry.get("search", {}), folder),
        )
        for trial in hybrid_trials(arm) if method == HYBRID else [arm.settings]:
            check_settings(trial)
            if method == HYBRID:
                configs(trial)
        yield arm


def _whole(settings: Settings, entry: Mapping[str, Any], folder: Path) -> Settings:
    """Return an arm's settings with circuits in place of their files; unless it is given, their qubits are left open.

    A setting that is tuned or searched is given too.
    """
    varied = {**entry.get("tune", {}), **entry.get("search", {})}
    free = {"qubits": AUTO} if any({**settings, **varied}.get(name) for name in OWN) else {}
    return with_texts({**free, **settings}, folder)


def _refuse_many(lists: Mapping[str, Sequence[Any]], most: int, what: str, remedy: str) -> None:
    """Raise HilbertuneError if all combinations of some lists are more than anybody can compute."""
    count = math.prod(map(len, lists.values()))
    if count > most:
        raise HilbertuneError(
            f"There would be {count:,} {what}, and at most {most:,} can be computed: list fewer {remedy}."
        )


def _check_entry(entry: Any, own: Sequence[str]) -> None:
    """Raise HilbertuneError for an entry under `arms` whose keys, lists or ranges are wrong."""
    _refuse_unknown(entry, (*own, *SETTINGS), "an arm")
    method = entry.get("method", HYBRID)
    if not isinstance(entry.get("auto", False), bool):
        raise HilbertuneError(f"'auto' of an arm is true or false, not {shown(entry['auto'])}.")
    if method not in (HYBRID, *FAMILIES):
        raise HilbertuneError(f"There is no method {shown(method)}: {nearest(method[:100], [HYBRID, *FAMILIES])}")
    tune, search = entry.get("tune", {}), entry.get("search", {})
    for part, place in ((entry.get("cross", {}), "'cross'"), (tune, "'tune'")):
        _refuse_unknown(part, SETTINGS, place)
        for name, values in part.items():
            if not isinstance(values, list) or not values:
                raise HilbertuneError(f"{name!r} under {place} must be a list of values.")
    if BASE in tune or BASE in search:
        raise HilbertuneError("'base' is not chosen on validation: put it into an arm, 'settings' or 'cross'.")
    _refuse_unknown(search, SETTINGS, "'search'")
    for name, space in search.items():
        _check_range(name, space)
    if search and (tune or method != HYBRID):
        raise HilbertuneError("An arm is searched or tuned, and only quantum heads are searched.")
    if method != HYBRID and tune:
        raise HilbertuneError(f"{method!r} has trials of its own: give 'trials', not 'tune'.")


def _arm_name(title: str, factors: Settings, known: Settings) -> str:
    """Return the name of an arm: its title with the settings in braces, or with its factors after it."""

    def value(match: re.Match[str]) -> str:
        word, form = match.group(1), match.group(2) or ""
        if word not in known:
            raise HilbertuneError(
                f"The name {shown(title)} has no setting {shown(word)}: {nearest(word[:100], SETTINGS)}"
            )
        try:
            if not re.fullmatch(r"[,.]?[0-9]{0,2}[a-zA-Z%]?", form):
                raise ValueError("a format is such as .3f or g")
            return format(known[word], form)
        except (TypeError, ValueError) as error:
            raise HilbertuneError(f"The name {shown(title)} cannot show {word} so ({error}).") from error

    # Not str.format, which would reach into the values, and fill a name with a billion blanks.
    name = re.sub(r"\{([^{}:]*)(?::([^{}]*))?\}", value, title)
    label = ", ".join(f"{k}={v}" for k, v in factors.items())
    return f"{name}, {label}" if label and name == title else name


def _screening_arms(factors: Mapping[str, Sequence[Any]], common: Settings, folder: Path) -> Iterator[Arm]:
    """Yield each row of a Plackett-Burman design as an arm, with every factor at one of its two levels.

    No main effect is confounded with another.
    """
    if not factors:
        return
    _refuse_unknown(factors, SETTINGS, "'factors'")
    for name, levels in factors.items():
        if not isinstance(levels, list) or len(levels) != 2:
            raise HilbertuneError(f"The factor {name!r} needs a list of two levels, not {shown(levels)}.")
    design = require("pydoe", "study").pbdesign(len(factors))
    for number, row in enumerate(design, 1):
        chosen = {k: v[int(sign > 0)] for (k, v), sign in zip(factors.items(), row, strict=True)}
        settings = _whole({**common, **chosen}, {}, folder)
        check_settings(settings)
        configs(settings)
        yield Arm(f"design row {number}", "design", HYBRID, settings, chosen)


def _conditions(given: Any) -> list[Settings]:
    """Return the further conditions of the test, each as {"name", "value", "settings"}."""
    known = ("shots", "noise", "one_qubit_error", "two_qubit_error", "readout_error")
    _refuse_unknown(given, known, "'conditions'")
    conditions = []
    for key, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            check_settings({key: value})
            settings = spell_out_noise({key: value})
            configs(settings)
            words = {"shots": f"{value} shots" if value else "exact", "noise": value or "no noise"}
            name = words.get(key) or f"{key.replace('_', ' ')} {value:g}"
            numeric = value if isinstance(value, int | float) else None
            conditions.append({"name": name, "value": numeric, "settings": settings})
    return conditions


def _defaults() -> Settings:
    """Return the defaults of all settings that a name may mention."""
    return {**DECLARED, "per_class": None, BASE: None}
