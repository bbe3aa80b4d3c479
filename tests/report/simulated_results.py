"""What the other stages would write, in small: inputs of the report without running the pipeline."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.cfm_vc.decisive import unit_of
from pipeline.core.paths import StudyPaths
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.results import Row
from pipeline.metrics.results import write_results as write_results_table
from tests.alphastomics.simulated_results import write_spatial
from tests.bayes_moe.simulated_results import write_moe
from tests.mole.simulated_results import write_forecasting

AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
CELL_TYPES = ["CD14+ Monocyte", "CD19+ B", "CD4+ T", "CD56+ NK", "Dendritic"]
PERTURBATIONS = ["control", "cytokine", "inhibitor", "stress"]
BATCHES = ["donor_1", "donor_2", "donor_3"]
HELD_OUT = [("CD14+ Monocyte", "cytokine"), ("CD19+ B", "inhibitor")]
# method -> role, noise of the predicted change (None: no change), and distance of its population
METHODS = {
    "cfm_vc": ("model", 0.25, 0.42),
    "control_mean": ("baseline", None, 1.93),
    "perturbation_mean": ("baseline", 0.45, 0.61),
    "additive_shift": ("baseline", 0.4, 0.66),
    "ridge": ("baseline", 0.6, 0.83),
    "truth": ("control", 0.0, -0.01),
    "shuffled_labels": ("control", 3.0, 2.4),
}
CEILING = {"pearson_change": 0.97, "pearson_change_top20": None, "pearson_change_top100": 0.98, "e_distance": 0.02}


def write_results(
    root: Path,
    cell_types: list[str] | None = None,
    held_out: list[tuple[str, str]] | None = None,
    genes: int = 500,
    cells: int = 4000,
    seed: int = 0,
) -> None:
    """Write every input of the report stage, and a params.yaml and its plan.yaml, under `root`."""
    rng = np.random.default_rng(seed)
    cell_types, held_out = cell_types or CELL_TYPES, held_out or HELD_OUT
    _dataset(root, cell_types, held_out, genes, cells)
    _quality(root, cell_types, held_out, rng)
    _curves(root, rng)
    _latent(root, cell_types, cells, rng)
    _evaluation(root, held_out, genes, rng)
    write_leave_one_out(root, cell_types)
    write_moe(root)
    write_spatial(root)
    write_forecasting(root)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" class="dag" width="90" height="40"><text y="20">DAG</text></svg>'
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs/dag.svg").write_text(drawing, encoding="utf-8")
    for name in ("params.yaml", "plan.yaml"):
        (root / name).write_bytes((Path(__file__).parents[2] / name).read_bytes())


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False), encoding="utf-8")


def _frame(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


def _dataset(root: Path, cell_types: list[str], held_out: list[tuple[str, str]], genes: int, cells: int) -> None:
    splits = {"train": int(0.8 * cells), "validation": int(0.1 * cells), "test": int(0.1 * cells)}
    content = {
        "schema_version": 1,
        "kind": "perturbation",
        "simulated": True,
        "description": "Simulated: real PBMC profiles, grown to 4,000 cells, with 3 perturbations of known effect",
        "input_sha256": "0123456789abcdef" * 4,
        "control": "control",
        "genes": genes,
        "categories": {"perturbation": PERTURBATIONS, "cell_type": cell_types, "batch": BATCHES},
        "held_out": [{"cell_type": c, "perturbation": p} for c, p in held_out],
        "splits": {name: {"cells": size, "nonzeros": size * 90, "shards": []} for name, size in splits.items()},
        "filtered": {"cells_before": cells + 37, "cells_after": cells, "genes_before": 765, "genes_after_filter": 700},
        "notes": ["batch donor_3 has no cells of stress: the two are partly confounded"],
    }
    _json(root / AT.store / "dataset.json", content)


def _quality(root: Path, cell_types: list[str], held_out: list[tuple[str, str]], rng: np.random.Generator) -> None:
    histograms = {}
    for name, centre in (("counts_per_cell", 400), ("genes_per_cell", 150)):
        values = rng.gamma(4, centre / 4, 4037)
        edges = np.unique(np.ceil(10 ** (np.arange(0, 65) / 20)))
        before, after = (np.histogram(kept, edges)[0] for kept in (values, values[values >= centre / 5]))
        histograms[name] = {"edges": edges.tolist(), "before": before.tolist(), "after": after.tolist()}
    groups = [
        {
            "cell_type": cell_type,
            "perturbation": perturbation,
            "before": (before := int(rng.integers(40, 400))),
            "after": before - int(rng.integers(0, 3)),
            "split": "test" if (cell_type, perturbation) in held_out else "train",
        }
        for cell_type in cell_types
        for perturbation in PERTURBATIONS
    ]
    thresholds = {"min_counts_per_cell": 80, "min_genes_per_cell": 30}
    _json(
        root / AT.quality,
        {"histograms": histograms, "groups": groups, "thresholds": thresholds, "filtered": {}},
    )


def _curves(root: Path, rng: np.random.Generator) -> None:
    for name, start, end in (("vae", 420.0, 260.0), ("flow", 3.0, 1.1)):
        epoch = np.arange(1, 41)
        train = end + (start - end) * np.exp(-epoch / 5) + rng.normal(0, 0.004 * end, 40)
        validation = train + 0.01 * end + 0.0008 * end * epoch
        frame = pd.DataFrame({"epoch": epoch, "train_loss": train, "validation_loss": validation})
        _frame(root / AT.curves / f"{AT.run}-{name}.csv", frame)
        best = int(validation.argmin())
        numbers = {
            "best_epoch": int(epoch[best]),
            "epochs": 40,
            "parameters": 212345,
            "train": {"loss": train[best], "kl_int": 0.1 * train[best]},
            "validation": {"loss": validation[best], "kl_int": 0.1 * validation[best]},
        }
        _json(root / AT.training / f"{AT.run}-{name}.json", numbers)


def _latent(root: Path, cell_types: list[str], cells: int, rng: np.random.Generator) -> None:
    frames = []
    for space, batch_effect in (("expression", 1.2), ("z_int", 0.1)):
        kind, batch = rng.integers(0, len(cell_types), cells), rng.integers(0, len(BATCHES), cells)
        centres = np.random.default_rng(7).normal(0, 4, (len(cell_types), 2))
        xy = centres[kind] + batch_effect * np.array([[-1, 1], [0, -1], [1, 1]])[batch] + rng.normal(0, 0.6, (cells, 2))
        frames.append(
            pd.DataFrame(
                {
                    "cell": [f"cell_{i}" for i in range(cells)],
                    "cell_type": np.array(cell_types)[kind],
                    "batch": np.array(BATCHES)[batch],
                    "perturbation": np.array(PERTURBATIONS)[rng.integers(0, len(PERTURBATIONS), cells)],
                    "space": space,
                    "x": xy[:, 0],
                    "y": xy[:, 1],
                }
            )
        )
    _frame(root / AT.details / "expression_latent.parquet", pd.concat(frames))


def _evaluation(root: Path, held_out: list[tuple[str, str]], genes: int, rng: np.random.Generator) -> None:
    changes, populations, rows = [], [], []
    for cell_type, perturbation in held_out:
        group = {"cell_type": cell_type, "perturbation": perturbation}
        unit = unit_of(cell_type, perturbation)
        true = np.where(rng.random(genes) < 0.15, rng.normal(0.4, 0.6, genes), rng.normal(0, 0.04, genes))
        rank = np.empty(genes, dtype=np.int64)
        rank[np.argsort(-np.abs(true))] = np.arange(1, genes + 1)
        for method, (role, noise, distance) in METHODS.items():
            predicted = np.zeros(genes) if noise is None else 0.8 * true + rng.normal(0, noise * true.std(), genes)
            predicted = true if noise == 0 else predicted
            names = [f"GENE{i}" for i in range(genes)]
            columns = {"gene": names, "method": method, "change_true": true, "change_predicted": predicted}
            if role != "control":
                changes.append(pd.DataFrame({**group, **columns, "de_rank": rank}))
            scores = _scores(true, predicted, rank, distance + 0.05 * rng.random())
            rows += _rows(unit, method, role, scores)
        rows += _rows(unit, "split_half", "ceiling", CEILING)
        for origin, shift in (("true", 3.0), ("generated", 2.6), ("control", 0.0), ("additive_shift", 2.2)):
            xy = rng.normal((shift, shift / 3), 1, (180, 2))
            populations.append(pd.DataFrame({**group, "origin": origin, "x": xy[:, 0], "y": xy[:, 1]}))
    folder = root / AT.details
    _frame(folder / "change.parquet", pd.concat(changes))
    _frame(folder / "population.parquet", pd.concat(populations))
    write_results_table(root / AT.results, AT, _with_means(rows, 0.005))


def _scores(true: np.ndarray, predicted: np.ndarray, rank: np.ndarray, distance: float) -> dict[str, float]:
    """Scores that fit the drawn change; what needs cells is made up from `distance`."""

    def pearson(chosen: np.ndarray) -> float:
        return float(np.corrcoef(true[chosen], predicted[chosen])[0, 1]) if predicted.any() else 0.0

    correlations = {f"pearson_change_top{top}": pearson(rank <= top) for top in (20, 100)}
    mse = float(np.mean((true - predicted) ** 2))
    return {
        "pearson_change": pearson(rank > 0),
        **correlations,
        "mse": mse,
        "mae": mse**0.5,
        "e_distance": distance,
        "mmd": distance / 10,
        "discrimination": 1 / (1 + max(distance, 0)),
        "de_overlap_top100": float(np.mean(np.argsort(-np.abs(predicted))[:100, None] == np.argsort(rank)[:100]) * 100),
        "de_direction": float(np.mean(np.sign(true) == np.sign(predicted))),
        "wasserstein": mse**0.5 / 2,
        "truth_pearson_change": 0.9 * pearson(rank > 0),
    }


def _rows(unit: str, method: str, role: str, scores: dict[str, float | None]) -> list[Row]:
    """A row per score, with an interval around it."""
    return [
        Row(unit, method, role, metric, value)
        if value is None
        else Row(
            unit, method, role, metric, value, value - 0.05 * (abs(value) + 0.1), value + 0.04 * (abs(value) + 0.1)
        )
        for metric, value in scores.items()
    ]


def _with_means(rows: list[Row], half: float) -> list[Row]:
    """With means over groups and the model's differences to the baselines, `half` the width of their intervals."""
    plain = [replace(row, low=None, high=None) for row in rows]
    differences = [
        row if row.value is None else replace(row, low=row.value - half, high=row.value + half)
        for row in difference_rows(plain)
    ]
    return [*rows, *mean_rows(plain), *differences]


def write_leave_one_out(root: Path, cell_types: list[str], seeds: int = 3, gain: float = 0.03) -> None:
    """What benchmarks/effects.py would write: the model `gain` ahead of the best baseline, but in the first
    cell type, where it is as far behind."""
    rng = np.random.default_rng(1)
    folder = root / "reports/measured/cfm_vc"
    levels = {"control_mean": 0.0, "perturbation_mean": 0.80, "additive_shift": 0.82, "ridge": 0.75}
    rows, steps = [], []
    for rank, cell_type in enumerate(cell_types):
        hard = 0.03 * rank
        ahead = gain if rank else -gain
        for seed in range(seeds):
            group = {"cell_type": cell_type, "perturbation": "stim", "seed": seed}
            model = 0.82 + ahead - hard + rng.normal(0, 0.1 * abs(gain))
            correlations = {name: max(level - hard, 0.0) for name, level in levels.items()}
            found = {"cfm_vc": model, **correlations, "split_half": 0.98 - hard / 3, "truth": 1.0}
            for method, correlation in found.items():
                role = {"cfm_vc": "model", "split_half": "ceiling", "truth": "control"}.get(method, "baseline")
                distance = 0.01 if method == "split_half" else 4 * (1 - correlation)
                scores = {"pearson_change_top100": correlation, "e_distance": distance}
                rows += [Row(unit_of(cell_type, "stim"), method, role, m, v, seed=seed) for m, v in scores.items()]
            for variant, loss in {
                "base field only": 0.2,
                "+ basis adapter": 0.05,
                "+ OT coupling": 0.02,
                "+ distribution loss": 0.0,
                "from noise": 0.09,
                "control mean": 0.82 + ahead - hard,
                "additive shift": ahead,
            }.items():
                value = 0.82 + ahead - hard - loss + (rng.normal(0, 0.006) if variant[0] in "+bf" else 0)
                scores = {"pearson_change_top100": value, "e_distance": 4 * (1 - value)}
                pair = f"{cell_type} and another"
                steps += [
                    {"variant": variant, **group, "metric": metric, "value": v, "held_out": pair}
                    for metric, v in scores.items()
                ]
    write_results_table(folder / "kang.csv", AT, [*rows, *mean_rows(rows), *difference_rows(rows)])
    _frame(folder / "kang_ablation.csv", pd.DataFrame(steps))
    about = {
        "title": "Blood cells of two donors with and without interferon beta (a fixture of the tests)",
        "description": "kang.h5ad: 5 cells",
        "study": "kang",
        "data_sha256": "fedcba9876543210" * 4,
        "commands": ["python -m pipeline run cells", "python -m benchmarks.effects cells"],
        "commit": "f" * 40,
        "changed": {"vae": {"epochs": 50}, "seeds": [0, 1, 2]},
    }
    _json(folder / "kang.json", about)
