"""What predictions from the other contexts can reach at best: mixtures of their measured changes, told the truth.

    python -m pipeline run kang && python -m benchmarks.context_ceiling kang

The change of each held-out group is fitted to the truth that is scored, by least squares over all genes: a weight for
the change in every other context, one for the context's own control expression, and a constant. No such mixture that
has to do without the truth is nearer in squared error. The cells are those of the trained model, given this change, as
they are given the true one: what is then left is a fault of their shape. Last row: fitted anew on the genes of each
score. Of every fold and seed of the study in this folder; nothing is trained. Prints means over held-out groups and
seeds, and top 20 of each group.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.effects import CPU, SHOWN, loaded, method
from pipeline.cfm_vc.data.contexts import Calibration, Contexts, load_contexts
from pipeline.cfm_vc.data.groups import Group
from pipeline.cfm_vc.data.held_out import HeldOut, HeldOutGroup, read_held_out
from pipeline.cfm_vc.evaluation.judge import judge
from pipeline.cfm_vc.evaluation.tables import group_names
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.metrics.differential import de_rank
from pipeline.cfm_vc.model.additive import changes
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.model.effects import Effects, Member
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.predict import cfm_vc
from pipeline.cfm_vc.model.question import Method, Prediction, Question
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.metrics.perturbation import pearson
from pipeline.training.weights import load_model

Array = npt.NDArray[np.float64]
TOLD, TRUE, ANEW = "best mixture, told the truth", "the true change", "best mixture of the genes of each score"


class Told(NamedTuple):
    """Of a held-out group: its true change, the mixture that is nearest to it (both (G,)), and the correlations of
    mixtures that are fitted to the genes of each score alone."""

    true_G: Array
    mixture_G: Array
    anew: dict[str, float]


class GivenEffects(Effects):
    """Effects that are given instead of predicted; the cells are as ever."""

    def __init__(self, change_G: Array, member: Member, solution: Solution, contexts: Contexts) -> None:
        """change_G: of every cell type."""
        as_given = replace(contexts, calibration=Calibration(1.0, 1.0))
        super().__init__(member.vae, member.field, solution, as_given, largest_transfer=1.0)
        self._change_G = change_G

    def _expected(self, *_: Any) -> Array:
        return self._change_G


def told(held_out: HeldOut, group: HeldOutGroup) -> Told:
    """ValueError where the perturbation was measured in no other context."""
    control = held_out.known[group.cell_type, held_out.control]
    known = changes({place: moments.mean_G for place, moments in held_out.known.items()}, held_out.control)
    others = [change_G for (_, label), change_G in known.items() if label == group.perturbation]
    if not others:
        raise ValueError("a mixture of changes takes one of another context")
    true_G = group.truth.mean_G - control.mean_G
    design_GK = np.stack([*others, control.mean_G, np.ones_like(true_G)], axis=1)

    def fitted(to_G: npt.NDArray[Any]) -> Array:
        weight_K = np.linalg.lstsq(design_GK[to_G], true_G[to_G], rcond=None)[0]
        return np.maximum(design_GK @ weight_K, -control.mean_G)

    everywhere, rank_G = np.arange(len(true_G)), de_rank(group.truth, control)
    top_n = {f"pearson_change_top{n}": np.flatnonzero(rank_G <= n) for n in (20, 50, 100)}
    anew = {
        score: float(pearson(fitted(genes)[None, genes], true_G[None, genes])[0])
        for score, genes in {"pearson_change": everywhere, **top_n}.items()
    }
    return Told(true_G, fitted(everywhere), anew)


def scores(study: str) -> Iterator[dict[str, Any]]:
    """A row per method, held-out group, seed and metric."""
    settings = Evaluate(bootstrap_replicates=0)
    for fold in sorted(path.name for path in Path("models/cfm_vc", study).iterdir()):
        store = open_store(StudyPaths("cfm_vc", study, fold).store)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        answers = {(group.cell_type, group.perturbation): told(held_out, group) for group in held_out.groups}
        for run in sorted(Path("models/cfm_vc", study, fold).glob("seed_*")):
            contexts, member = load_contexts(run / "contexts"), loaded(run)
            solution = Solution(load_model(run / "flow", FlowField)[1]["source"])
            given = (member, solution, contexts)
            methods = {
                "kernel_ridge": BASELINES["kernel_ridge"],
                "CFM-VC": method(solution, contexts, member),
                TOLD: _given({group: one.mixture_G for group, one in answers.items()}, *given),
                TRUE: _given({group: one.true_G for group, one in answers.items()}, *given),
            }
            for group, name, found in judge(store, held_out, methods, settings).scores:
                row = {"method": name, "group": " under ".join(group_names(store, group))}
                if name in methods:
                    yield from (row | {"metric": key, "value": float(found[key][0])} for key in SHOWN)
                if name == TOLD:
                    anew = answers[group.cell_type, group.perturbation].anew
                    yield from (row | {"method": ANEW, "metric": key, "value": value} for key, value in anew.items())


def _given(change_of: dict[Group, Array], member: Member, solution: Solution, contexts: Contexts) -> Method:
    def answer(question: Question) -> Prediction:
        effects = GivenEffects(change_of[question.group], member, solution, contexts)
        return cfm_vc(member.vae, member.field, solution, effects, 0, CPU)(question)

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    study = parser.parse_args().study
    torch.set_num_threads(1)
    rows = list(scores(study))
    groups = list(dict.fromkeys(row["group"] for row in rows))
    print(f"{describe_machine()}; {study}, held out: {', '.join(groups)}\n")
    headings = [*(GLOSSARY.metric(name).heading for name in SHOWN), "top 20 of each group"]
    print(f"| change | {' | '.join(headings)} |\n|---|{'--:|' * len(SHOWN)}---|")
    for name in ("kernel_ridge", "CFM-VC", TOLD, ANEW, TRUE):
        of = [row for row in rows if row["method"] == name]
        cells = [_mean(of, metric, groups) for metric in SHOWN]
        by_group = " ".join(_mean(of, "pearson_change_top20", [group]) for group in groups)
        print(f"| {name} | {' | '.join(cells)} | {by_group} |")


def _mean(rows: list[dict[str, Any]], metric: str, groups: list[str]) -> str:
    values = [row["value"] for row in rows if row["metric"] == metric and row["group"] in groups]
    return f"{np.mean(values):.{4 if metric == 'mse' else 3}f}" if values else ""


if __name__ == "__main__":
    main()
