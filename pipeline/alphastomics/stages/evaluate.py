"""Does the expression of cells tell where they are, and their place what they express? On sections, or blocks of them,
that were not trained on, beside baselines and controls."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from pipeline.alphastomics.data.neighbourhoods import expression_of
from pipeline.alphastomics.data.sections import Section, read_sections
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.metrics.placement import placement_scores
from pipeline.alphastomics.metrics.spatial_expression import ExpressionScores, expression_scores
from pipeline.alphastomics.model.baselines import CONTROLS, EXPRESSION, PLACEMENT, Query, Reference
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling
from pipeline.alphastomics.model.tissue_inference import Expressed, Placed, TrainedTissue
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.paths import PATHS
from pipeline.core.entry import run_stage
from pipeline.core.files import atomic_folder, write_json, write_text
from pipeline.data.store import Store, open_store
from pipeline.training.determinism import Purpose, prepare_device, torch_generator
from pipeline.training.weights import load_model

SECTION = "alphastomics.evaluate"

STORE = PATHS.store
MODEL_FOLDER = PATHS.models
MODEL = "model"  # its estimate from noise alone, told the cells' types
UNTYPED, DRAW = "model_untyped", "model_draw"  # not told them; one sample, told them
SHOWN_PAIRS = 2000  # pairs of cells whose distances the report draws, of each section
Array = npt.NDArray[np.floating]
Row = dict[str, Any]
Asked = tuple[Given, Sampling, int, list[torch.Generator]]  # arguments of `TrainedTissue.place` and its like


class Judged:
    """What the methods said of one section, and how good it was."""

    def __init__(self, section: Section, trained: TrainedTissue, settings: Evaluate) -> None:
        self.section, self.trained, self.settings = section, trained, settings
        self.standard_NG = expression_of(section.cells, slice(None), trained.standard)
        self.true_NG = trained.standard.log_normalised(self.standard_NG)
        self.rows: list[Row] = []
        self.expression: dict[str, ExpressionScores] = {}

    def placements(self, reference: Reference) -> Placed:
        """Score all placements; the model's own."""
        found = self.trained.place(*self._placing(self.section.cells.cell_type))
        query = Query(self.standard_NG, None, self.section.cells.cell_type, self.settings.seed)
        true_NS = self.section.position_NS
        answers: dict[str, Array] = {
            MODEL: found.estimate_NS,
            UNTYPED: self.trained.expected_place(*self._placing(None)),
            DRAW: found.draws_RNS[0],
            **{name: method(reference, query) for name, method in PLACEMENT.items()},
            **{name: control(true_NS, self.settings.seed) for name, control in CONTROLS.items()},
        }
        for method, position_NS in answers.items():
            self._add("expr_to_pos", method, placement_scores(true_NS, position_NS, seed=self.settings.seed))
        return found

    def expressions(self, reference: Reference) -> Expressed:
        """Score all expressions; the model's own."""
        found = self.trained.express(*self._expressing(self.section.cells.cell_type))
        position_NS = self.section.position_NS
        query = Query(None, position_NS, self.section.cells.cell_type, self.settings.seed)
        answers: dict[str, Array] = {
            MODEL: found.estimate_NG,
            UNTYPED: self.trained.expected_expression(*self._expressing(None)),
            DRAW: found.draw_NG,
            **{name: method(reference, query) for name, method in EXPRESSION.items()},
            **{name: control(self.standard_NG, self.settings.seed) for name, control in CONTROLS.items()},
        }
        for method, standard_NG in answers.items():
            predicted_NG = self.trained.standard.log_normalised(standard_NG.astype(np.float32))
            self.expression[method] = expression_scores(self.true_NG, predicted_NG, position_NS)
            self._add("pos_to_expr", method, self.expression[method].means())
        return found

    def _add(self, mode: str, method: str, scores: dict[str, float]) -> None:
        about = {"mode": mode, "section": self.section.name, "method": method}
        self.rows += [{**about, "metric": metric, "value": value} for metric, value in scores.items()]

    def _placing(self, cell_type_N: npt.NDArray[np.int64] | None) -> Asked:
        given = self.trained.given(len(self.true_NG), x_NG=self.standard_NG, cell_type_N=cell_type_N)
        return given, self._sampling("expr_to_pos"), self.settings.draws, self._generators()

    def _expressing(self, cell_type_N: npt.NDArray[np.int64] | None) -> Asked:
        given = self.trained.given(len(self.true_NG), position_NS=self.section.position_NS, cell_type_N=cell_type_N)
        return given, self._sampling("pos_to_expr"), self.settings.draws, self._generators()

    def _sampling(self, mode: str) -> Sampling:
        settings = self.settings
        return Sampling(
            mode,  # type: ignore[arg-type]
            settings.steps,
            settings.sampler,
            settings.guidance,
            settings.neighbourhood,
        )

    def _generators(self) -> list[torch.Generator]:
        device = next(self.trained.model.parameters()).device
        place = (Purpose.PREDICTION, self.section.code)
        return [torch_generator(device, self.settings.seed, *place, draw) for draw in range(self.settings.draws)]


def run(settings: Evaluate) -> None:
    """Write the table of all scores, their means, and what the report draws."""
    with threadpool_limits(settings.threads):  # part of the result, since sums depend on their order
        judged, frames = evaluate(settings, STORE, MODEL_FOLDER)
    table = pd.DataFrame([row for one in judged for row in one.rows])
    with atomic_folder(PATHS.details) as folder:
        for name, frame in frames.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    write_text(PATHS.reports / "table.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(PATHS.reports / "metrics.json", _means(table))
    print(_summary(table))


def evaluate(
    settings: Evaluate, store_folder: Path, model_folder: Path
) -> tuple[list[Judged], dict[str, pd.DataFrame]]:
    """Every test section judged, and the report's tables."""
    device = prepare_device(settings.device, settings.threads)
    store = open_store(store_folder, "spatial")
    model, config = load_model(model_folder, SpatialDiffusion, device)
    trained = TrainedTissue.of(model, config)
    learned = [*read_sections(store, "train"), *read_sections(store, "validation")]  # baselines may learn from both
    reference = Reference(
        np.concatenate([expression_of(part.cells, slice(None), trained.standard) for part in learned]),
        np.concatenate([part.position_NS for part in learned]),
        np.concatenate([part.cells.cell_type for part in learned]),
    )
    judged, tables = [], []
    for section in read_sections(store, "test"):
        one = Judged(section, trained, settings)
        placed, expressed = one.placements(reference), one.expressions(reference)
        judged.append(one)
        tables.append(_tables(one, placed, expressed, store))
    return judged, {name: pd.concat([part[name] for part in tables], ignore_index=True) for name in tables[0]}


def _tables(one: Judged, placed: Placed, expressed: Expressed, store: Store) -> dict[str, pd.DataFrame]:
    """What the report draws of one section; positions in the unit of the input."""
    section = one.section
    alignment = kabsch(placed.estimate_NS, section.position_NS, reflection=True)
    true_NS = section.frame.restored(section.position_NS)
    predicted_NS = section.frame.restored(alignment.apply(placed.estimate_NS).astype(np.float32))
    cells = {
        "section": section.name,
        "cell": section.cells.names,
        "cell_type": np.array(store.categories["cell_type"], object)[section.cells.cell_type],
        **{f"true_{axis}": true_NS[:, axis] for axis in range(true_NS.shape[1])},
        **{f"predicted_{axis}": predicted_NS[:, axis] for axis in range(true_NS.shape[1])},
        "spread": placed.spread_N * section.frame.scale,
    }
    rng = np.random.default_rng([one.settings.seed, section.code])
    pair_2P = rng.integers(len(true_NS), size=(2, SHOWN_PAIRS))
    pair_2P = pair_2P[:, pair_2P[0] != pair_2P[1]]
    true_P, predicted_P = (np.linalg.norm(at[pair_2P[0]] - at[pair_2P[1]], axis=1) for at in (true_NS, predicted_NS))
    genes = pd.concat(
        [
            pd.DataFrame({"section": section.name, "gene": store.genes, "method": method, **scores.genes})
            for method, scores in one.expression.items()
        ]
    )
    return {
        "cells": pd.DataFrame(cells),
        "distances": pd.DataFrame({"section": section.name, "true": true_P, "predicted": predicted_P}),
        "genes": genes,
        "expression": _example_genes(one, expressed, store),
    }


def _example_genes(one: Judged, expressed: Expressed, store: Store) -> pd.DataFrame:
    """The genes whose pattern the model tells best, typically and worst, cell by cell."""
    scores = one.expression[MODEL]
    order = np.flatnonzero(scores.varies_G)[np.argsort(scores.genes["pcc"][scores.varies_G], kind="stable")]
    roles = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    columns = [
        {
            "section": one.section.name,
            "gene": store.genes[gene],
            "role": role,
            "cell": one.section.cells.names,
            "true": one.standard_NG[:, gene],
            "predicted": expressed.estimate_NG[:, gene],
        }
        for role, gene in roles.items()
    ]
    return pd.concat([pd.DataFrame(part) for part in columns])


def _means(table: pd.DataFrame) -> dict[str, Any]:
    """Means over sections: mode, method, metric."""
    found: dict[str, Any] = {}
    means = table.groupby(["mode", "method", "metric"], sort=False)["value"].mean().reset_index()
    for mode, method, metric, value in means.itertuples(index=False):
        found.setdefault(mode, {}).setdefault(method, {})[metric] = float(value)
    return found


def _summary(table: pd.DataFrame) -> str:
    """The main scores of all methods, as text."""
    metrics = {"expr_to_pos": ["spearman_distances", "knn_overlap", "contact_f1"], "pos_to_expr": ["pcc", "ssim"]}
    parts = []
    for mode, wanted in metrics.items():
        of_mode = table[(table["mode"] == mode) & table["metric"].isin(wanted)]
        wide = of_mode.pivot_table("value", "method", "metric", sort=False)[wanted]
        parts.append(f"{mode}, mean over sections\n{wide.to_string(float_format='%.3f')}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    run_stage(SECTION, run)
