"""Points of a sweep of images compared on validation images alone: to choose what is worth a place in params.yaml.

    python -m benchmarks.gates
    python -m benchmarks.gates --study digits --seeds 5 6 7 8 9 --points FILE

Trains the study's dense twin and each point by the stage `moe_sweep` in a temporary folder, with its recipe and these
seeds, and prints a row of markdown for each: means over the seeds (standard deviation of the NLL) of one pass without
noise, and of the average over the most passes with noise. Epochs and temperatures are chosen on the very images that
are scored, so that all scores flatter, and alike: halves of them have too few errors to fit a temperature on. DEE:
deep-ensemble equivalents, by ensembles of the dense twins. Entropy: of the gate, mean over images, 1 is uniform. Test
images are not scored. FILE is YAML, a mapping of names to points.
"""

import argparse
import contextlib
import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.deep_ensembles import averaged, equivalents, losses, subsets
from pipeline.bayes_moe.metrics.temperature import fit_temperature
from pipeline.bayes_moe.params.sweep import Point, Sweep
from pipeline.bayes_moe.stages import ingest, ingest_ood, moe_sweep
from pipeline.core.paths import StudyPaths
from pipeline.registry import load_params

SPARSE = {"experts": 8, "top_k": 2}
POINTS = {
    "gumbel_top_2": {**SPARSE, "gate": "gumbel_top_k"},
    "variational, weight 0.01": {**SPARSE, "gate": "variational"},
    "router_prior, weight 0.001": {**SPARSE, "gate": "router_prior", "divergence_weight": 0.001},
    "router_prior, weight 0.01": {**SPARSE, "gate": "router_prior"},
    "router_prior, weight 0.1": {**SPARSE, "gate": "router_prior", "divergence_weight": 0.1},
}

Array = npt.NDArray[np.float64]


def scaled_losses(logit_VK: Array, label_V: npt.NDArray[np.int64]) -> Array:
    """−log p(label) of each validation image, (V,), with the temperature that fits them."""
    return losses(logit_VK / fit_temperature(logit_VK, label_V), label_V)


def main() -> None:
    """Train all in a folder that is removed, and print as they end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--seeds", nargs="+", type=int, default=[5, 6, 7, 8, 9], help="others than those of the study")
    parser.add_argument("--points", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    given = POINTS if arguments.points is None else yaml.safe_load(arguments.points.read_text(encoding="utf-8"))
    study = load_params().bayes_moe.studies[arguments.study]
    points = {f"point_{place}": Point(**point) for place, point in enumerate([{}, *given.values()])}
    recipe = study.sweep.recipe.model_copy(update={"seeds": arguments.seeds, "corrupted_pictures": 1})
    sweep = Sweep(recipe=recipe, points=points)
    root, at = Path.cwd(), StudyPaths("bayes_moe", arguments.study)
    ensembles: list[float] = []
    print(
        "| point | accuracy | scaled NLL | DEE | averaged over passes | DEE | entropy |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("data").mkdir()
        Path("data/embedded").symlink_to(root / "data/embedded")
        with contextlib.redirect_stdout(io.StringIO()):
            ingest.run(study.ingest.model_copy(update={"path": str(root / study.ingest.path)}), at)
            ingest_ood.run(study.ingest_ood.model_copy(update={"path": str(root / study.ingest_ood.path)}), at)
        for name, point in zip(["dense", *given], points, strict=True):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                moe_sweep.run(sweep, replace(at, point=point))
            found = PointPredictions(at.models / point)
            if not ensembles:
                ensembles = [_ensemble(found, size) for size in range(1, len(found.seeds) + 1)]
            print(f"| {name} | {' | '.join(_cells(found, ensembles))} |", flush=True)


def _ensemble(dense: PointPredictions, size: int) -> float:
    """Scaled NLL of so many dense networks averaged, mean over their choices."""
    logit_RVK, label_V = dense.logits("validation"), dense.labels("validation")
    chosen = [averaged(logit_RVK[list(of)]) for of in subsets(len(logit_RVK), size)]
    return float(np.mean([scaled_losses(logit_VK, label_V) for logit_VK in chosen]))


def _cells(point: PointPredictions, ensembles: list[float]) -> list[str]:
    label_V, cells = point.labels("validation"), []
    right = [(logit_VK.argmax(1) == label_V).mean() for logit_VK in point.logits("validation")]
    for part in ("validation", "sampled_validation"):
        if part not in point.arrays:
            cells += ["", ""]
            continue
        nll_R = np.array([scaled_losses(logit_VK, label_V).mean() for logit_VK in point.logits(part)])
        worth = float(equivalents(nll_R.mean(), np.array(ensembles)))
        cells += [f"{nll_R.mean():.3f} ± {nll_R.std(ddof=1):.3f}", f"{worth:.1f}"]
    entropy = point.arrays.get("validation_gate_entropy")
    return [f"{np.mean(right):.3f}", *cells, "" if entropy is None else f"{entropy.mean():.2f}"]


if __name__ == "__main__":
    main()
