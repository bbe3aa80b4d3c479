"""What the combination of estimates and the calibration of draws add to AlphaSTomics: held-out scores of trained models
with and without them, of every fold and seed of a study that was run. Nothing is trained.

    python -m pipeline run tissue osmfish
    python -m benchmarks.combination tissue osmfish

Variants: the model as it is; without the combination, the network's own estimates; ridge and kNN regression alone, as
they go into it. Draws: as they are, and as the network draws them. Prints markdown tables of means over sections and
runs, with differences to the model as it is and their 95 % interval (Student's t) where there are several.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pipeline.alphastomics.data.sections import Section, read_sections
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.metrics.place_uncertainty import coverage, energy_score
from pipeline.alphastomics.metrics.placement import placement_scores
from pipeline.alphastomics.metrics.spatial_expression import expression_scores
from pipeline.alphastomics.model.calibration import LEVELS, SHOWN_LEVEL
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.spatial_sampler import Sampling
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.stages.score import MOST_JUDGED
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.metrics.mean_interval import mean_interval
from pipeline.registry import load_params
from pipeline.training.determinism import Purpose, torch_generator
from pipeline.training.weights import load_model

SHOWN = ("spearman_distances", "knn_overlap", "contact_f1", "rmsd_in_frame_over_gyration", "energy", "coverage_90")
Scores = dict[str, dict[str, float]]  # by variant and metric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="study")
    studies: list[str] = parser.parse_args().studies
    params = load_params().alphastomics.studies
    for study in studies:
        found: dict[bool, list[Scores]] = {True: [], False: []}
        for typed in found:
            for at in runs(study):
                store = open_store(at.store, "spatial")
                model, config = load_model(at.model, SpatialDiffusion, torch.device("cpu"))
                share = MOST_JUDGED / max(store.cells("test"), 1)
                for section in read_sections(store, "test", share):
                    trained = TrainedTissue.of(model, config)
                    found[typed].append(judged(trained, section, params[study].evaluate, typed))
        for typed, every in found.items():
            print(f"\n{study}, cell types {'told' if typed else 'not told'}, {len(every)} section(s) and run(s)\n")
            metrics = [*SHOWN, "pcc", "ssim"]
            print(f"| variant | {' | '.join(metrics)} |\n" + "|---" * (len(metrics) + 1) + "|")
            for variant in every[0]:
                print(f"| {variant} | {' | '.join(cell(every, variant, metric) for metric in metrics)} |")


def runs(study: str) -> Iterator[StudyPaths]:
    """Every trained run of the study."""
    for folder in sorted(Path("models/alphastomics", study).glob("*/seed_*")):
        yield StudyPaths("alphastomics", study, folder.parent.name, int(folder.name.removeprefix("seed_")))


def judged(trained: TrainedTissue, section: Section, settings: Evaluate, typed: bool) -> Scores:
    """Scores of all variants on one section; coverage and energy score in the frame."""
    cells, true_NS = section.cells, np.asarray(section.position_NS)
    x_NG = expression_of(cells, slice(None), trained.standard)
    cell_type_N = cells.cell_type if typed else None
    given = trained.given(len(x_NG), x_NG, None, cell_type_N)
    gyration = float(np.sqrt(((true_NS - true_NS.mean(axis=0)) ** 2).sum(axis=1).mean()))
    place = Sampling("expr_to_pos", settings.steps, neighbourhood=settings.neighbourhood)
    placed = trained.place(given, place, settings.draws, seeds(section, settings))
    alone = replace(trained, combination=None, calibration=None)
    network = alone.place(given, place, settings.draws, seeds(section, settings))

    def of_place(estimate_NS: npt.NDArray[np.floating], draws_RNS: npt.NDArray[np.floating]) -> dict[str, float]:
        return placement_scores(true_NS, estimate_NS) | {"energy": energy_score(true_NS, draws_RNS) / gyration}

    found = {
        "as it is": of_place(placed.estimate_NS, placed.draws_RNS),
        "without combination, draws of the network": of_place(network.estimate_NS, network.draws_RNS),
    }
    level = LEVELS.index(SHOWN_LEVEL)
    found["as it is"]["coverage_90"] = float(coverage(true_NS, placed.estimate_NS, placed.radius_NL)[level])
    near_NKS = trained.near_places(given).places_NKS
    if near_NKS is not None:
        for number, name in enumerate(("ridge alone", "kNN alone")):
            found[name] = of_place(near_NKS[:, number], near_NKS[None, :, number])
    express = Sampling("pos_to_expr", settings.steps, neighbourhood=settings.neighbourhood)
    given = trained.given(len(x_NG), None, true_NS, cell_type_N)
    true_NG = trained.standard.log_normalised(x_NG)
    for name, one in (("as it is", trained), ("without combination, draws of the network", alone)):
        told_NG = one.expected_expression(given, express, settings.draws, seeds(section, settings))
        found[name] |= expression_scores(true_NG, trained.standard.log_normalised(told_NG), true_NS).means()
    return found


def seeds(section: Section, settings: Evaluate) -> list[torch.Generator]:
    """Those of the stage `score`."""
    place = (Purpose.PREDICTION, section.code)
    return [torch_generator(torch.device("cpu"), settings.seed, *place, draw) for draw in range(settings.draws)]


def cell(every: list[Scores], variant: str, metric: str) -> str:
    """The mean, and of other variants by how much the model as it is scores more."""
    if any(metric not in of[variant] for of in every):
        return ""
    value = f"{np.mean([of[variant][metric] for of in every]):.3f}"
    if variant == "as it is":
        return value
    gains = [of["as it is"][metric] - of[variant][metric] for of in every]
    mean, low, high = mean_interval(gains) if len(gains) > 1 else (gains[0], None, None)
    return f"{value} ({mean:+.3f}" + (")" if low is None else f", {low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
