"""What each part of an effect's size brings: the trained flows of a study, their effects set in several ways.

    python -m pipeline run kang && python -m benchmarks.effects kang [--keep]

Of every fold and seed of the study in this folder; nothing is trained. Prints a markdown table of means over held-out
groups and seeds, beside the baselines. With --keep it also writes these scores to where the report looks for the
ablation of measured cells; `python -m benchmarks.measured kang` writes the rest.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from pipeline.cfm_vc.data.contexts import Calibration, Contexts, load_contexts
from pipeline.cfm_vc.data.held_out import read_held_out
from pipeline.cfm_vc.evaluation.judge import judge
from pipeline.cfm_vc.evaluation.tables import group_names
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.model import context_response
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.model.effects import LARGEST_TRANSFER, Effects, Member
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.predict import cfm_vc
from pipeline.cfm_vc.model.question import Method
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.core.files import atomic_file
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths, measured
from pipeline.data.store import open_store
from pipeline.training.weights import load_model

CPU = torch.device("cpu")
SHOWN = ("pearson_change", "pearson_change_top20", "pearson_change_top50", "pearson_change_top100", "mse")
SHOWN += ("e_distance", "slope_change")
LABELS = {name: label for name, label, _ in GLOSSARY.methods}
COLUMNS = ("variant", "cell_type", "perturbation", "seed", "metric", "value")


class Variant(NamedTuple):
    calibration: Calibration
    largest_transfer: float = LARGEST_TRANSFER  # the most that an effect in a new context is enlarged by
    own_response: bool = True  # whether contexts may depart under all perturbations alike


def variants(found: Calibration) -> dict[str, Variant]:
    """One part after the other, and the prior alone."""
    return {
        "flow alone": Variant(Calibration(1.0, 0.0), 1.0),
        "+ size in the training groups": Variant(Calibration(found.size, 0.0), 1.0),
        "+ average with the closed form": Variant(found, 1.0, own_response=False),
        "+ a context's own response": Variant(found, 1.0),
        "+ size in new contexts": Variant(found),
        "closed form alone, flow's cells": Variant(Calibration(1.0, 1.0)),
    }


def scores(study: str) -> Iterator[dict[str, Any]]:
    """A row per variant or baseline, held-out group, seed and metric."""
    settings = Evaluate(bootstrap_replicates=0)
    for fold in sorted(path.name for path in Path("models/cfm_vc", study).iterdir()):
        store = open_store(StudyPaths("cfm_vc", study, fold).store)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        runs = sorted(Path("models/cfm_vc", study, fold).glob("seed_*"))
        contexts = load_contexts(runs[0] / "contexts")
        solution = Solution(load_model(runs[0] / "flow", FlowField)[1]["source"])
        members = {run.name: loaded(run) for run in runs}
        for run in runs:
            own = members[run.name]
            methods = {
                name: method(solution, contexts, own._replace(calibration=variant.calibration), variant=variant)
                for name, variant in variants(own.calibration).items()
            }
            if others := [member for name, member in members.items() if name != run.name]:
                methods["all, averaged over the seeds"] = method(solution, contexts, own, *others)
            for group, name, found in judge(store, held_out, methods | BASELINES, settings).scores:
                if name in methods or name in BASELINES:
                    cell_type, perturbation = group_names(store, group)
                    row = {"variant": LABELS.get(name, name), "cell_type": cell_type, "perturbation": perturbation}
                    seed = int(run.name.removeprefix("seed_"))
                    yield from (row | {"seed": seed, "metric": key, "value": float(found[key][0])} for key in SHOWN)


def method(
    solution: Solution, contexts: Contexts, first: Member, *others: Member, variant: Variant | None = None
) -> Method:
    """The model `first`, its effects averaged with those of the others."""
    variant = variant or Variant(first.calibration)
    allowed = slice(None) if variant.own_response else slice(1)  # the first is infinite
    shift, response = context_response.SHIFT_PENALTIES[allowed], context_response.RESPONSE_PENALTIES[allowed]
    of = replace(contexts, calibration=first.calibration)
    # What contexts do of their own is fitted when it is first asked for.
    with patch.multiple(context_response, SHIFT_PENALTIES=shift, RESPONSE_PENALTIES=response):
        effects = Effects(first.vae, first.field, solution, of, others, variant.largest_transfer)
        _ = effects.prior and effects.prior.context_response
    return cfm_vc(first.vae, first.field, solution, effects, 0, CPU)


def loaded(run: Path) -> Member:
    """The model of a seed, as a member of an ensemble of all seeds."""
    vae, field = load_model(run / "vae", Vae)[0], load_model(run / "flow", FlowField)[0]
    return Member(vae, field, load_contexts(run / "contexts").calibration)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--keep", action="store_true", help="write the scores to reports/measured/cfm_vc as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = list(scores(arguments.study))
    headings = [GLOSSARY.metric(name).heading for name in SHOWN]
    seeds = len({row["seed"] for row in rows})
    print(f"{describe_machine()}; {arguments.study}, {seeds} {'seed' if seeds == 1 else 'seeds'}\n")
    print(f"| effects | {' | '.join(headings)} |\n|---|{'--:|' * len(SHOWN)}")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        means = [
            np.mean([row["value"] for row in rows if (row["variant"], row["metric"]) == (variant, metric)])
            for metric in SHOWN
        ]
        digits = [4 if metric == "mse" else 3 for metric in SHOWN]
        print(f"| {variant} | {' | '.join(f'{mean:.{d}f}' for mean, d in zip(means, digits, strict=True))} |")
    if arguments.keep:
        with atomic_file(measured("cfm_vc") / f"{arguments.study}_ablation.csv") as partial:
            pd.DataFrame(rows, columns=COLUMNS).to_csv(partial, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
