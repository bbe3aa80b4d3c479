"""What a checkout's Snakemake runs have cost: seconds in stages by study, and the engines' own share.

    python -m benchmarks.share [CHECKOUT]

A run's wall time times its cores is what stages can take. The rest is DVC and Snakemake, stages that were killed and
ran again, and cores with nothing to do, as when the last stages wait for each other. Prints two markdown tables.
"""

import argparse
import json
import os
import re
from collections import defaultdict
from datetime import datetime
from pathlib import Path

TIMES = Path(".dvc/tmp/celldag/times")
LOGS = Path(".snakemake/log")


def stage_spans() -> dict[str, tuple[float, float]]:
    """The last start and end (seconds since 1970) of every stage that ran here, by address."""
    spans = {}
    for folder in filter(Path.is_dir, TIMES.rglob("*")):
        notes = [json.loads(file.read_text()) for file in folder.glob("*.json")]
        if notes:
            last = max(notes, key=lambda note: note["end"])
            spans[str(folder.relative_to(TIMES))] = (last["start"] / 1e9, last["end"] / 1e9)
    return spans


def runs() -> list[tuple[float, float, int]]:
    """Start, end and cores of every Snakemake run that had jobs."""
    found = []
    for log in sorted(LOGS.glob("*.snakemake.log")):
        text = log.read_text()
        cores = re.search(r"^Provided cores: (\d+)", text, re.MULTILINE)
        if cores and "Job stats" in text:
            started = datetime.strptime(log.name.split(".")[0], "%Y-%m-%dT%H%M%S").timestamp()
            found.append((started, log.stat().st_mtime, int(cores[1])))
    return found


def study_of(address: str) -> str:
    """`kang` of score@cfm_vc-kang-b_cells-0 and vae_pretrain@kang-b_cells-0; the stage's name where it is of none."""
    parts = address.partition("@")[2].split("-")
    systems = {path.parent.name for path in Path("pipeline").glob("*/glossary.py")}
    named = [part for part in parts if part not in systems]
    return named[0] if named and named[0] else address


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", nargs="?", default=".")
    os.chdir(parser.parse_args().checkout)
    spans, rows = stage_spans(), defaultdict(list)
    for address, (start, end) in spans.items():
        rows[study_of(address)].append(end - start)
    print("| study | stages | seconds in stages |\n|---|---|---|")
    for study, seconds in sorted(rows.items(), key=lambda row: -sum(row[1])):
        print(f"| {study} | {len(seconds)} | {sum(seconds):,.0f} |")
    print("\n| run | wall, s | cores | stages ended in it | seconds in these | all else, of wall x cores |")
    print("|---|---|---|---|---|---|")
    for number, (start, end, cores) in enumerate(runs(), 1):
        inside = [b - a for a, b in spans.values() if start <= b <= end + 60]
        rest = 1 - sum(inside) / ((end - start) * cores)
        print(f"| {number} | {end - start:,.0f} | {cores} | {len(inside)} | {sum(inside):,.0f} | {100 * rest:.0f} % |")


if __name__ == "__main__":
    main()
