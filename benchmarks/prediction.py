"""Prediction at scale: texts a second, the head's share of the time, and memory while the rows go by.

Usage: python benchmarks/prediction.py [--rows 100000] [--qubits 10] [--threads 2] [--json]

Trains a head of 10 qubits for one epoch on film reviews (extra `demo`), writes a CSV file of --rows rows, the 8,530
reviews over and over, and predicts it as `hilbertune predict --input rows.csv --out answers.csv` does. Nothing is
cached, so that every row goes through the base. Prints a Markdown table of the resident memory along the way.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import torch

from hilbertune import HybridClassifier
from hilbertune.data.packages import demo_sentences
from hilbertune.runtime.provenance import environment
from hilbertune.use.prediction import Throughput, predict_file


def resident() -> float:
    """Return the MiB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--qubits", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)

    reviews = demo_sentences()
    texts = reviews.texts or []
    model = HybridClassifier(qubits=asked.qubits, epochs=1)
    model.fit(texts[:128] + texts[-128:], reviews.labels[:128] + reviews.labels[-128:])
    seen: list[tuple[int, float]] = []

    def look(now: Throughput) -> None:
        # About ten times in all.
        if now.rows // max(1, asked.rows // 10) > len(seen) - 1 or now.rows == asked.rows:
            seen.append((now.rows, resident()))

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "rows.csv", Path(folder) / "answers.csv"
        with source.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([texts[row % len(texts)]] for row in range(asked.rows))
        throughput = predict_file(model, str(source), out, progress=look)
        lines = sum(1 for _ in out.open()) - 1
    assert lines == throughput.rows == asked.rows
    figures = {**throughput.to_dict(), "memory_mib": seen, "environment": environment()}
    if asked.json:
        print(json.dumps(figures))
        return
    print("| rows done | MiB resident |\n| ---: | ---: |")
    for rows, memory in seen:
        print(f"| {rows} | {memory:.0f} |")
    machine = figures["environment"]
    print(
        f"\n{figures['rows_per_second']:.0f} texts a second, {100 * figures['head_share']:.1f} % of the time in the "
        f"head; {throughput.seconds:.0f} s; {throughput.truncated} texts cut; "
        f"{machine['processor']}, {asked.threads} threads"
    )


if __name__ == "__main__":
    main()
