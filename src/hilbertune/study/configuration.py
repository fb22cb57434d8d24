"""What a study consists of: a YAML file becomes arms, the arms become trials, the trials become runs.

In: a configuration (what to compare, what to tune, seeds, conditions of the test) and the shape of the data. Out: a checked `Study`, and its runs, each
with an identity that depends on nothing but what is trained.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilbertune.baselines.families import FAMILIES
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.errors import HilbertuneError, nearest, require
from hilbertune.study.plan import (
    HYBRID,
    SETTINGS,
    Arm,
    Search,
    Settings,
    Study,
    configs,
    hybrid_trials,
    spell_out_noise,
)

KEYS = {
    "study": "title about mode search data seeds settings arms design conditions figure against published sizes",
    "data": "file text label split embedding",
    "arm": "name group method trials budget cross tune search",
    "search": "sampler trials objectives prune",
    "range": "low high log step",
    "figure": "kind x series conditions",
    "design": "factors",
    "published": "what value source x",
}


def read_study(path: str | Path, *, size: str = "full", seeds: int | None = None) -> Study:
    """Read and check a configuration.

    Args:
        path: a YAML file; docs/howto/studies.md describes it.
        size: a name under `sizes`, whose entries replace those of the configuration; "full" replaces none.
        seeds: use the seeds 0, 1, ... of this number instead.

    Raises:
        HilbertuneError: no such file, no YAML, an unknown key or setting (the nearest valid one is named), a value out of range.
        MissingExtraError: without the extra `study`.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise HilbertuneError(f"Cannot read the study {path}: {reason}.") from error
    given = _parse(text, path)
    _refuse_unknown(given, KEYS["study"].split(), "a study")
    sizes = given.pop("sizes", {})
    if size != "full":
        if size not in sizes:
            known = ", ".join(["full", *sizes])
            raise HilbertuneError(f"{path.name} has no size {size!r}: choose from {known}.")
        _refuse_unknown(sizes[size], KEYS["study"].split(), f"the size {size!r}")
        given = _merged(given, sizes[size])
    for part in ("data", "figure", "design"):
        _refuse_unknown(given.get(part, {}), KEYS[part].split(), repr(part))
    for entry in given.get("published", []):
        _refuse_unknown(entry, KEYS["published"].split(), "'published'")
    common = given.get("settings", {})
    _refuse_unknown(common, SETTINGS, "'settings'")
    arms = [arm for entry in given.get("arms", []) for arm in _arms(entry, common)]
    factors = given.get("design", {}).get("factors", {})
    arms += _screening_arms(factors, common)
    names = [arm.name for arm in arms]
    if not arms:
        raise HilbertuneError(f"{path.name} has no arms: list under 'arms' what to compare.")
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise HilbertuneError(
            f"Two arms are named {twice!r}: tell them apart, with {{a setting}} in the name if they are crossed."
        )
    search = _search(given, arms)
    against = given.get("against")
    if against is not None and against not in names:
        raise HilbertuneError(f"'against' names no arm: {nearest(str(against), names)}")
    asked: Any = given.get("seeds", 10) if seeds is None else seeds
    numbers = list(range(asked)) if isinstance(asked, int) else list(asked)
    if not numbers or not all(isinstance(s, int) and s >= 0 for s in numbers):
        raise HilbertuneError("seeds must be a number of seeds, or a list of seeds from 0 on.")
    return Study(
        title=str(given.get("title", path.stem)),
        about=" ".join(str(given.get("about", "")).split()),
        data=given.get("data", {}),
        arms=arms,
        seeds=numbers,
        conditions=_conditions(given.get("conditions", {})),
        figure={"kind": "bars", "x": None, "series": None, "conditions": False} | given.get("figure", {}),
        against=against,
        published=[{"x": None} | entry for entry in given.get("published", [])],
        factors=factors,
        size=size,
        text=text,
        search=search,
    )


def _search(given: Mapping[str, Any], arms: Sequence[Arm]) -> Search | None:
    """What 'mode: search' asks for."""
    mode, about = given.get("mode", "grid"), given.get("search", {})
    searched = [arm for arm in arms if arm.search]
    if mode not in ("grid", "search"):
        raise HilbertuneError(f"'mode' is grid or search, not {mode!r}.")
    if mode == "grid":
        if searched or about:
            raise HilbertuneError("Ranges under 'search' need 'mode: search'.")
        return None
    if not searched:
        raise HilbertuneError("'mode: search' needs an arm with ranges under 'search'.")
    _refuse_unknown(about, KEYS["search"].split(), "'search'")
    goals = about.get("objectives", ["accuracy"])
    known = ("accuracy", "parameters", "depth", "price")
    if not isinstance(goals, list) or not goals or len(set(goals)) < len(goals):
        raise HilbertuneError("'objectives' must be a list of different objectives.")
    for goal in goals:
        if goal not in known:
            raise HilbertuneError(f"{goal!r} is no objective: {nearest(str(goal), known)}")
    sampler, trials = about.get("sampler", "tpe"), about.get("trials", 30)
    if sampler not in (samplers := ("tpe", "gp", "random", "qmc")):
        raise HilbertuneError(f"{sampler!r} is no sampler: {nearest(str(sampler), samplers)}")
    if not isinstance(trials, int) or trials < 1:
        raise HilbertuneError("'trials' under 'search' must be a whole number from 1 on.")
    prune = bool(about.get("prune", False))
    if prune and goals != ["accuracy"]:
        raise HilbertuneError("'prune' judges accuracy alone: leave other objectives out.")
    return Search(sampler, trials, tuple(goals), prune)


def _check_range(name: str, space: Any) -> None:
    """A list of choices, or a table with low and high."""
    if isinstance(space, list) and space:
        return
    _refuse_unknown(space, KEYS["range"].split(), f"the range of {name!r}")
    low, high = space.get("low"), space.get("high")
    if not all(isinstance(v, int | float) for v in (low, high)) or not low < high:
        raise HilbertuneError(f"The range of {name!r} needs a 'low' below its 'high'.")
    if space.get("log") and low <= 0:
        raise HilbertuneError(f"The range of {name!r} is logarithmic: 'low' must be above 0.")


def _parse(text: str, path: Path) -> dict[str, Any]:
    yaml = require("yaml", "study")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        """YAML 1.1 takes 5e-3 for a word."""

    number = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        given = Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise HilbertuneError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(given, dict):
        raise HilbertuneError(f"{path} holds no study: it needs keys such as 'title' and 'arms'.")
    return given


def _refuse_unknown(given: Any, known: Sequence[str], place: str) -> None:
    if not isinstance(given, dict):
        raise HilbertuneError(f"{place} must be a table of keys and values, not {given!r}.")
    for key in given:
        if key not in known:
            raise HilbertuneError(f"{key!r} is no key of {place}: {nearest(str(key), known)}")


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins; tables are merged key by key."""
    both = {k: _merged(base[k], v) for k, v in over.items() if isinstance(base.get(k), dict)}
    return {**base, **over, **both}


def _arms(entry: Any, common: Settings) -> Iterator[Arm]:
    """The arms of an entry: one for each combination under `cross`."""
    own = KEYS["arm"].split()
    _refuse_unknown(entry, (*own, *SETTINGS), "an arm")
    method = entry.get("method", HYBRID)
    if method not in (HYBRID, *FAMILIES):
        raise HilbertuneError(f"{method!r} is no method: {nearest(method, [HYBRID, *FAMILIES])}")
    cross, tune = entry.get("cross", {}), entry.get("tune", {})
    for part, place in ((cross, "'cross'"), (tune, "'tune'")):
        _refuse_unknown(part, SETTINGS, place)
        for name, values in part.items():
            if not isinstance(values, list) or not values:
                raise HilbertuneError(f"{name!r} under {place} must be a list of values.")
    search = entry.get("search", {})
    _refuse_unknown(search, SETTINGS, "'search'")
    for name, space in search.items():
        _check_range(name, space)
    if search and (tune or method != HYBRID):
        raise HilbertuneError("An arm is searched or tuned, and only quantum heads are searched.")
    if method != HYBRID and tune:
        raise HilbertuneError(f"{method!r} has trials of its own: give 'trials', not 'tune'.")
    fixed = {k: v for k, v in entry.items() if k not in own}
    for values in itertools.product(*cross.values()):
        factors = dict(zip(cross, values, strict=True))
        settings = {**common, **fixed, **factors}
        label = ", ".join(f"{k}={v}" for k, v in factors.items())
        shown = {**_defaults(), **settings, "method": method}
        try:
            name = str(entry.get("name", method)).format(**shown)
        except (KeyError, IndexError, ValueError) as error:
            raise HilbertuneError(
                f"The name {entry['name']!r} has no setting {error}: {nearest(str(error), SETTINGS)}"
            ) from error
        if label and name == str(entry.get("name", method)):
            name = f"{name}, {label}"
        trials, budget = entry.get("trials"), entry.get("budget")
        # What the names of an entry's arms have in common.
        group = re.sub(r",?[^,]*\{[^}]*\}[^,]*", "", str(entry.get("name", method))).strip() or method
        group = str(entry.get("group", group))
        arm = Arm(name, group, method, settings, factors, tune, trials, budget, search)
        if method == HYBRID:
            for trial in hybrid_trials(arm):
                configs(trial)
        yield arm


def _screening_arms(factors: Mapping[str, Sequence[Any]], common: Settings) -> Iterator[Arm]:
    """A row of a Plackett-Burman design as an arm: every factor at one of its two levels, all main effects unconfounded with each other."""
    if not factors:
        return
    _refuse_unknown(factors, SETTINGS, "'factors'")
    for name, levels in factors.items():
        if not isinstance(levels, list) or len(levels) != 2:
            raise HilbertuneError(f"The factor {name!r} needs a list of two levels, not {levels!r}.")
    design = require("pydoe", "study").pbdesign(len(factors))
    for number, row in enumerate(design, 1):
        chosen = {k: v[int(sign > 0)] for (k, v), sign in zip(factors.items(), row, strict=True)}
        settings = {**common, **chosen}
        configs(settings)
        yield Arm(f"design row {number}", "design", HYBRID, settings, chosen)


def _conditions(given: Any) -> list[Settings]:
    """Each is {"name", "value", "settings"}: what the test is done with besides what the training had."""
    known = ("shots", "noise", "one_qubit_error", "two_qubit_error", "readout_error")
    _refuse_unknown(given, known, "'conditions'")
    found = []
    for key, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            settings = spell_out_noise({key: value})
            configs(settings)
            words = {"shots": f"{value} shots" if value else "exact", "noise": value or "no noise"}
            name = words.get(key) or f"{key.replace('_', ' ')} {value:g}"
            numeric = value if isinstance(value, int | float) else None
            found.append({"name": name, "value": numeric, "settings": settings})
    return found


def _defaults() -> Settings:
    return {**HeadConfig().to_dict(), **TrainingConfig().to_dict(), "per_class": None}
