"""The table of a study on bases: heads down, bases across, and what the quantum head adds on each base.

Usage: python benchmarks/verdict.py STUDY_DIRECTORY

The directory is that of studies/tuned-bases.yaml or tuned-tasks.yaml, run to its end. Prints Markdown: mean test
accuracy over seeds with 95 % intervals, then each comparison with its interval and its p values.
"""

import argparse
from pathlib import Path

from hilbertune.report.reading import known_accuracy, read_results
from hilbertune.study.record import ArmResults, Results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    results = read_results(parser.parse_args().directory / "results.json")
    show_heads(results)
    print()
    show_comparisons(results)


def show_heads(results: Results) -> None:
    """Print a row for each head and a column for each base."""
    bases = list(dict.fromkeys(str(arm["factors"]["base"]) for arm in results["arms"]))
    heads = list(dict.fromkeys(name_of(arm) for arm in results["arms"]))
    print(f"| head | parameters | {' | '.join(bases)} |")
    print(f"| --- | ---: |{' --- |' * len(bases)}")
    for head in heads:
        own = {str(arm["factors"]["base"]): arm for arm in results["arms"] if name_of(arm) == head}
        counts = sorted({round(arm["parameters"]) for arm in own.values() if arm["parameters"]})
        count = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}" if counts else ""
        cells = [cell(own[base]) if base in own else "" for base in bases]
        print(f"| {head} | {count} | {' | '.join(cells)} |")


def name_of(arm: ArmResults) -> str:
    """Return the name of an arm without its base."""
    return arm["name"].removesuffix(f", {arm['factors']['base']}")


def cell(arm: ArmResults) -> str:
    mean, low, high = known_accuracy(arm["summary"])
    ends = "" if low is None or high is None else f" ({100 * low:.2f} to {100 * high:.2f})"
    return f"{100 * mean:.2f}{ends}"


def show_comparisons(results: Results) -> None:
    """Print a row for each comparison."""
    print("| quantum head | against | points | 95 % interval | p | p, Holm |")
    print("| --- | --- | ---: | --- | ---: | ---: |")
    for one in results["comparisons"]:
        low, high = one["interval"]
        points = "" if one["difference"] is None else f"{100 * one['difference']:+.2f}"
        ends = "" if low is None or high is None else f"{100 * low:+.2f} to {100 * high:+.2f}"
        chances = " | ".join("" if p is None else f"{p:.3f}" for p in (one["p_permutation"], one["p_holm"]))
        print(f"| {one['name']} | {one['against']} | {points} | {ends} | {chances} |")


if __name__ == "__main__":
    main()
