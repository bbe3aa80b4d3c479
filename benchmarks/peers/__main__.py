"""CFM-VC beside scGen and CellFlow: the same cells, held-out groups and scores, each in an environment of its own.

    benchmarks/peers/setup.sh                       # once: the peers' environments
    python -m pipeline run kang                     # the stores of the study's folds and, to be compared, its models
    python -m benchmarks.peers kang [--seeds 0 1] [--peers scgen cellflow] [--out peers.csv]

Of every fold of the study in this folder. A peer gets all cells that are not held out and the control cells that every
method starts from (exported.py), trains by its own settings (scgen/predict.py, cellflow/predict.py), and its cells are
scored as those of any method. Where there are trained models of the study, each seed is scored as well. Prints
markdown: means over held-out groups and seeds, and each group; and how well each peer predicts groups that it has been
trained on, which tells whether it has learned.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.effects import SHOWN, loaded, method
from benchmarks.peers.answers import PEERS, Answers, ask, python_of
from benchmarks.peers.exported import Asked, export
from benchmarks.peers.tables import LABELS, OURS, as_markdown
from pipeline.cfm_vc.data.contexts import load_contexts
from pipeline.cfm_vc.data.held_out import HeldOut, read_held_out
from pipeline.cfm_vc.evaluation.judge import judge
from pipeline.cfm_vc.evaluation.tables import group_names
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.question import Method
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.training.weights import load_model

COLUMNS = ("method", "cell_type", "perturbation", "seed", "metric", "value")


@dataclass
class Learned:
    """What is known of each peer beside its scores; trained: Pearson correlation and slope of the predicted change of
    groups that it was trained on."""

    versions: dict[str, str] = field(default_factory=dict)
    trained: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    effort: dict[str, list[str]] = field(default_factory=dict)

    def add(self, peer: str, answers: Answers, asked: Asked, held_out: HeldOut) -> None:
        """Of one peer on one fold."""
        self.versions |= answers.versions
        self.effort.setdefault(peer, []).append(answers.trained)
        for cell_type, perturbation in asked.trained:
            control_G = held_out.known[cell_type, held_out.control].mean_G
            true_G = held_out.known[cell_type, perturbation].mean_G - control_G
            predicted_G = answers.population[cell_type, perturbation].mean(axis=0, dtype=np.float64) - control_G
            correlation = float(np.corrcoef(true_G, predicted_G)[0, 1])
            slope = float(np.polyfit(true_G, predicted_G, 1)[0])
            self.trained.setdefault(peer, []).append((correlation, slope))


def scores(study: str, arguments: argparse.Namespace, learned: Learned) -> Iterator[dict[str, Any]]:
    """A row per method, held-out group, seed and metric; a method without a seed has the seed None."""
    settings = Evaluate(bootstrap_replicates=0)
    for fold in sorted(path.name for path in Path("data/processed/cfm_vc", study).iterdir()):
        store = open_store(StudyPaths("cfm_vc", study, fold).store)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        methods: dict[tuple[str, int | None], Method] = {(name, None): each for name, each in BASELINES.items()}
        methods |= own_models(study, fold)
        with nullcontext(arguments.keep / fold) if arguments.keep else tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "seen"
            asked = export(store, held_out, folder, settings.cells_per_group, settings.seed)
            for seed in arguments.seeds:
                for peer in arguments.peers:
                    print(f"{study} {fold}: {peer}, seed {seed}", file=sys.stderr, flush=True)
                    options = arguments.cellflow.split() if peer == "cellflow" else []
                    answers = ask(peer, folder, Path(name) / f"{peer}-{seed}", asked.groups, seed, options)
                    learned.add(PEERS[peer], answers, asked, held_out)
                    methods |= {(row, seed): each for row, each in answers.methods(PEERS[peer]).items()}
        keys = {f"{name}, seed {seed}": (name, seed) for name, seed in methods}
        judged = judge(store, held_out, {key: methods[keys[key]] for key in keys}, settings)
        for group, key, found in judged.scores:
            if key in keys:
                (row, seed), (cell_type, perturbation) = keys[key], group_names(store, group)
                about = {"method": LABELS.get(row, row), "cell_type": cell_type, "perturbation": perturbation}
                yield from (about | {"seed": seed, "metric": name, "value": float(found[name][0])} for name in SHOWN)


def own_models(study: str, fold: str) -> dict[tuple[str, int | None], Method]:
    """The trained model of every seed; empty where there is none."""
    runs = sorted(Path("models/cfm_vc", study, fold).glob("seed_*"))
    found: dict[tuple[str, int | None], Method] = {}
    for run in runs:
        solution = Solution(load_model(run / "flow", FlowField)[1]["source"])
        model = method(solution, load_contexts(run / "contexts"), loaded(run))
        found[OURS, int(run.name.removeprefix("seed_"))] = model
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the peers")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--cellflow", default="", metavar="OPTIONS", help='of cellflow/predict.py: "--steps 4000"')
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the peers' cells, which are not made twice")
    parser.add_argument("--out", type=Path, help="a table of all scores, as CSV")
    arguments = parser.parse_args()
    for peer in arguments.peers:
        python_of(peer)
    torch.set_num_threads(1)
    learned = Learned()
    rows = list(scores(arguments.study, arguments, learned))
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(learned.versions.items()))
    print(f"{describe_machine()}; {versions}\n")
    for line in as_markdown(rows):
        print(line)
    for peer, found in learned.trained.items():
        correlation, slope = np.mean(found, axis=0)
        effort = ", ".join(dict.fromkeys(learned.effort[peer]))
        print(
            f"\n{peer} ({effort}) on groups that it was trained on: mean Pearson correlation of the change "
            f"{correlation:.3f}, mean slope {slope:.2f}"
        )


if __name__ == "__main__":
    main()
