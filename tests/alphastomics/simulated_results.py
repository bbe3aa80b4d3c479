"""What the spatial evaluation and the benchmark on measured sections would write, in small and in any shape."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.alphastomics.decisive import CEILING
from pipeline.alphastomics.evaluation.judge import role_of
from pipeline.alphastomics.evaluation.result_rows import result_rows
from pipeline.alphastomics.model.calibration import LEVELS
from pipeline.core.paths import StudyPaths
from pipeline.metrics.differences import difference_rows
from pipeline.metrics.results import Row, write_results

AT = StudyPaths("alphastomics", "tissue", "held_out", 0)
FOLDS = {"held_out": [0]}
RESULTS = AT.results.as_posix()
SHA256 = "0123456789abcdef"  # of each measured file: `<name><SHA256>`
HALF_WIDTH = 0.02  # of the intervals of differences in a section
LAYERS = ["L1", "L2/3", "L4", "L5", "L6"]
SCATTERED = ["Astro", "Micro", "PVALB", "SST"]
PLACING = ("model", "random", "cell_type_centroid", "pca_2", "ridge", "knn", "truth", "shuffled")
TELLING = ("model", "mean", "cell_type_mean", "knn_in_space", "knn_in_space_same_type", "truth", "shuffled")
POSITION_SCORES = {
    "spearman_distances": 0.8,
    "pearson_distances": 0.81,
    "spearman_per_cell": 0.75,
    "pearson_per_cell": 0.76,
    "knn_overlap": 0.2,
    "contact_precision": 0.5,
    "contact_recall": 0.6,
    "contact_f1": 0.55,
    "rmsd_over_gyration": 0.4,
    "rmsd_over_gyration_without_reflection": 0.5,
    "rmsd_in_frame_over_gyration": 0.6,
}
EXPRESSION_SCORES = {
    "pcc": 0.4,
    "ssim": 0.3,
    "js": 0.3,
    "pcc_per_cell": 0.7,
    "moran_difference": 0.1,
    "moran_true": 0.2,
    "moran_predicted": 0.3,
}
ERRORS = ("js", "moran_difference")


@dataclass
class Tissue:
    """`lead`: by how much the model is better than the baselines, by mode, in the scores that are better the higher."""

    sections: tuple[str, ...] = ("section_3",)
    cells: int = 400
    genes: int = 30
    dimensions: int = 2
    cell_types: tuple[str, ...] = (*LAYERS, *SCATTERED)
    lead: dict[str, float] = field(default_factory=lambda: {"expr_to_pos": 0.1, "pos_to_expr": 0.05})
    measured: tuple[str, ...] = ("starmap_mpfc", "osmfish_cortex")
    seeds: int = 3
    simulated: bool = True
    input_sha256: str = "of a recipe"
    wider: float = 0.0  # how much more the regions cover than they are made for


def write_spatial(root: Path, tissue: Tissue | None = None) -> None:
    """All inputs of the chapters on tissue."""
    tissue = tissue or Tissue()
    rng = np.random.default_rng(0)
    folder = root / AT.details
    for path in (folder, root / AT.curves, root / "reports/measured/alphastomics"):
        path.mkdir(parents=True, exist_ok=True)
    write_scores(
        root / RESULTS, [*_scores(tissue, tissue.sections, [None], rng), *coverage_rows(tissue.sections, tissue.wider)]
    )
    frames: dict[str, list[pd.DataFrame]] = {}
    for section in tissue.sections:
        for name, frame in _section(tissue, section, rng).items():
            frames.setdefault(name, []).append(frame)
    for name, parts in frames.items():
        pd.concat(parts).to_parquet(folder / f"{name}.parquet", index=False)
    epochs = np.arange(1, 21)
    curve = {"epoch": epochs, "train_loss": 2 / epochs, "validation_loss": 2.2 / epochs + 0.004 * epochs}
    pd.DataFrame(curve).to_csv(root / AT.curves / f"{AT.run}.csv", index=False)
    dataset = {
        "simulated": tissue.simulated,
        "description": "Simulated: a cortex of five layers in three sections",
        "input_sha256": tissue.input_sha256,
    }
    path = root / AT.store / "dataset.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**dataset, "notes": []}), encoding="utf-8")
    for name in tissue.measured:
        write_left_out(root, name, tissue, rng)


def write_scores(path: Path, scores: list[Row]) -> None:
    """The results of these scores; without seeds, the differences in a section have intervals of `HALF_WIDTH`."""
    intervals = None
    if scores[0].seed is None:
        intervals = {
            (row.unit, row.method, row.metric): None
            if row.value is None
            else (row.value - HALF_WIDTH, row.value + HALF_WIDTH)
            for row in difference_rows(scores)
        }
    write_results(path, AT, result_rows(scores, intervals))


def coverage_rows(sections: tuple[str, ...], wider: float = 0.0) -> list[Row]:
    """Coverage of the model's regions in each section."""
    return [
        Row(section, "model", "model", f"coverage_{100 * level:.0f}", min(max(level + wider, 0.0), 1.0))
        for section in sections
        for level in LEVELS
    ]


def write_left_out(root: Path, name: str, tissue: Tissue, rng: np.random.Generator) -> None:
    """What the benchmark writes of one measured data set."""
    folder, sections, seeds = root / "reports/measured/alphastomics", ("BZ5", "BZ9", "BZ14"), range(tissue.seeds)
    write_scores(folder / f"{name}.csv", _scores(tissue, sections, list(seeds), rng, name))
    gains = {"reference": 0.0, "unmasked": -0.03, "plain_attention": -0.002, "dense": 0.01}
    ablation = [
        {"variant": variant, "section": section, "seed": seed, "metric": metric, "value": value}
        for variant, gain in gains.items()
        for section in sections
        for seed in seeds
        for metric, base in (("spearman_distances", 0.8), ("knn_overlap", 0.2), ("pcc", 0.4))
        for value in [base + gain + 0.01 * rng.normal()]
    ]
    pd.DataFrame(ablation).to_csv(folder / f"{name}_ablation.csv", index=False)
    about = {
        "title": "Cells of the mouse's medial prefrontal cortex, measured by STARmap (Wang et al. 2018)",
        "description": f"{name}.h5ad: 3,143 cells x 166 genes in 3 sections",
        "data_sha256": name + SHA256,
        "commit": "f" * 40 + "-dirty",
        "study": name,
        "changed": {},
        "commands": [f"python -m benchmarks.leave_section_out {name}.h5ad --seeds {tissue.seeds}"],
    }
    (folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")


def _scores(
    tissue: Tissue,
    sections: tuple[str, ...],
    seeds: list[int | None],
    rng: np.random.Generator,
    study: str = "default",
) -> list[Row]:
    """The model by its lead, baselines one below the other, the truth perfect, and shuffled cells at nothing."""
    rows = []
    modes = (("expr_to_pos", PLACING, POSITION_SCORES), ("pos_to_expr", TELLING, EXPRESSION_SCORES))
    for mode, methods, metrics in modes:
        for rank, method in enumerate(methods):
            for metric, base in metrics.items():
                better = -1 if metric in ERRORS or metric.startswith("rmsd") else 1
                behind = 0.02 * (len(methods) - rank) if method != "model" else -tissue.lead[mode]
                level = {"truth": 1.0 if better > 0 else 0.0, "shuffled": 0.02 if better > 0 else 1.4}
                for section in sections:
                    for seed in seeds:
                        noise = 0.004 * rng.normal() if method == "model" else 0.0
                        value = level.get(method, base - better * behind * (0.5 if base < 0.3 else 1) + noise)
                        rows.append(Row(section, method, role_of(method), metric, value, seed=seed, study=study))
    of_ceiling = (CEILING, "ceiling", "pcc", 0.8)
    return [*rows, *(Row(section, *of_ceiling, seed=seed, study=study) for section in sections for seed in seeds)]


def _section(tissue: Tissue, section: str, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Layers across the first axis, other cells among them; predictions drawn to the middle."""
    cells, dimensions = tissue.cells, tissue.dimensions
    true = rng.uniform(size=(cells, dimensions)) * ([1400, 1000, 400][:dimensions])
    true[:, 1] += 0.15 * true[:, 0] * np.sin(true[:, 0] / 500)
    types = np.array(tissue.cell_types)
    layers = max(1, len(types) * 5 // 9)
    kind = np.minimum((true[:, 0] / 1400 * layers).astype(int), layers - 1)
    scattered = rng.uniform(size=cells) < 0.25
    if len(types) > layers:
        kind[scattered] = rng.integers(layers, len(types), scattered.sum())
    spread = np.where(scattered, 240, 60) * rng.uniform(0.6, 1.4, cells)
    middle = true.mean(axis=0)
    shrunk = middle + np.where(scattered, 0.5, 0.92)[:, None] * (true - middle)
    predicted = shrunk + spread[:, None] * rng.normal(size=true.shape) / np.sqrt(dimensions)
    frame = {"section": section, "cell": [f"cell_{i}" for i in range(cells)], "cell_type": types[kind]}
    frame |= {f"true_{axis}": true[:, axis] for axis in range(dimensions)}
    frame |= {f"predicted_{axis}": predicted[:, axis] for axis in range(dimensions)}
    frame["spread"] = spread
    frame["error"] = np.linalg.norm(predicted - true, axis=1)
    i, j = rng.integers(0, cells, (2, min(2000, cells * 3)))
    distances = {
        "section": section,
        "true": np.linalg.norm(true[i] - true[j], axis=1),
        "predicted": np.linalg.norm(predicted[i] - predicted[j], axis=1),
    }
    return {
        "cells": pd.DataFrame(frame),
        "distances": pd.DataFrame(distances),
        "genes": pd.DataFrame(_genes(tissue, section, rng)),
        "expression": pd.concat(_expression(section, frame["cell"], true, rng)),
    }


def _genes(tissue: Tissue, section: str, rng: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for gene in range(tissue.genes):
        moran = rng.uniform(0, 0.6)
        for rank, method in enumerate(TELLING):
            pcc = 1.0 if method == "truth" else 0.0 if method in ("mean", "shuffled") else moran + 0.1 - 0.03 * rank
            row = {"section": section, "gene": f"Gene{gene}", "method": method, "pcc": pcc + 0.03 * rng.normal()}
            row |= {"ssim": pcc - 0.1, "js": 0.4 - 0.3 * pcc, "pcc_ceiling": moran + 0.3}
            rows.append(row | {"moran_true": moran, "moran_predicted": moran + 0.1 * rng.normal()})
    return rows


def _expression(section: str, cells: object, true: np.ndarray, rng: np.random.Generator) -> list[pd.DataFrame]:
    frames = []
    for rank, role in enumerate(("best", "median", "worst")):
        wave = np.exp(-(((true[:, 0] - 700 - 300 * rank) / 200) ** 2)) * 4 - 0.8
        level = np.maximum(wave + rng.normal(size=len(true)) * (0.3 + 0.5 * rank), -0.8)
        columns = {"section": section, "gene": f"Gene{rank}", "role": role, "cell": cells}
        frames.append(pd.DataFrame({**columns, "true": level, "predicted": wave * (0.9, 0.5, 0.05)[rank]}))
    return frames
