"""What the sweep of image classifiers and its evaluation would write, in small and in any shape."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import Row, difference_name, write_results

AT = StudyPaths("bayes_moe", "digits")
POINTS: dict[str, dict[str, object]] = {
    "dense": {},
    "top_1": {"experts": 4},
    "gumbel_top_2": {"experts": 4, "top_k": 2, "gate": "gumbel_top_k"},
    "unbalanced": {"experts": 4, "balance_weight": 0.0},
}
_CORRUPTIONS = ("gaussian_noise", "jpeg")
_EMPTY = {  # columns of what may have no rows
    "sampled": ["point", "seed", "samples", "accuracy", "nll", "ece", "flops"],
    "power": ["metric", "kind", "difference", "deviation", "floor", "smallest", "needed"],
    "agreement": ["point", "first", "second", "agreement"],
}


@dataclass
class Sweep:
    """`ece` is the difference in ECE of each sparse point, as (value, low, high), raw and scaled."""

    points: dict[str, dict[str, object]] = field(default_factory=lambda: POINTS)
    chosen: str = "top_1"
    seeds: int = 3
    classes: int = 10
    images: int = 450
    bins: int = 15
    epochs: int = 4
    ece: dict[str, tuple[float, float, float]] = field(
        default_factory=lambda: {"raw": (-0.01, -0.03, 0.01), "scaled": (0.002, -0.01, 0.02)}
    )
    accuracy: tuple[float, float, float] = (0.002, -0.01, 0.02)
    notes: tuple[str, ...] = ()  # on the images


def write_moe(root: Path, sweep: Sweep | None = None) -> None:
    """All inputs of the chapters on the mixture of experts."""
    sweep = sweep or Sweep()
    for path, notes in ((AT.raw / "source.json", sweep.notes), (AT.reports / "ood.json", [])):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        source = {"description": "Handwritten digits", "input_sha256": "2" * 64, "notes": notes}
        (root / path).write_text(json.dumps(source), encoding="utf-8")
    rng = np.random.default_rng(0)
    names = list(sweep.points)
    sparse = [name for name in names if "experts" in sweep.points[name]]
    place = {name: sweep.points[name].get("place", "head") for name in names}
    plain = [name for name in names if not sweep.points[name].keys() & {"experts", "hidden", "dropout", "members"}]
    twins = {name: next(o for o in plain if place[o] == place[name]) for name in names}
    frames: dict[str, list[dict[str, object]]] = {
        name: []
        for name in (
            *("points", "reliability", "corruption", "experts", "sampled", "ensembles", "power", "coverage"),
            *("abstention", "stability", "agreement"),
        )
    }
    table: list[Row] = []
    (root / AT.curves).mkdir(parents=True, exist_ok=True)
    for rank, name in enumerate(names):
        point = {"experts": np.nan, "top_k": 1, "gate": "top_k", "balance": "switch", "balance_weight": 0.01}
        point |= {"place": "head", "hidden": None, "dropout": 0.0, "members": None} | sweep.points[name]
        cost = {
            "parameters": 61_000 + rank,
            "activated_parameters": 49_000,
            "flops": 3e5,
            "activated_flops": 28e4 + rank,
        }
        frames["points"].append({"point": name, "twin": twins[name], "chosen": name == sweep.chosen, **point, **cost})
        if name in sparse:
            for dense in (other for other in names if other not in sparse and twins[other] == twins[name]):
                table += _differences(name, dense, sweep)
            frames["experts"] += _experts(name, int(point["experts"]), sweep, rng)
            frames["stability"] += [
                {"point": name, "seed": seed, "corruption": kind, "severity": severity, "same": 1 - 0.1 * severity}
                for seed in range(sweep.seeds)
                for kind in _CORRUPTIONS
                for severity in range(1, 6)
            ]
            frames["abstention"] += [
                {
                    "point": name,
                    "score": score,
                    "aurc": 0.02 + gap,
                    "difference": gap,
                    "low": gap - 0.01,
                    "high": gap + 0.01,
                }
                for score, gap in (("confidence", 0.0), ("gate entropy", 0.02), ("confidence and gate", -0.002))
            ]
            frames["agreement"] += [
                {"point": name, "first": first, "second": second, "agreement": 0.1 * first + 0.2}
                for second in range(sweep.seeds)
                for first in range(second)
            ]
        if noisy := "gumbel" in point["gate"] or point["dropout"] > 0:
            frames["sampled"] += _sampled(name, sweep, rng)
        frames["reliability"] += _reliability(name, sweep, rng)
        frames["corruption"] += _corruption(name, sweep, rng)
        frames["ensembles"] += _ensembles(name, name == twins[name], noisy, sweep)
        shown = {twins[sweep.chosen]: ["confidence"], sweep.chosen: ["confidence", "gate entropy"]}
        frames["coverage"] += [row for score in shown.get(name, []) for row in _coverage(name, score, sweep, rng)]
        table += _scores(name, name in sparse, sweep, rng)
        experts = int(point["experts"]) if name in sparse else 0
        _curve(name, experts, sweep, rng).to_csv(root / AT.curves / f"{name}.csv", index=False)
    folder = root / AT.details
    folder.mkdir(parents=True, exist_ok=True)
    for metric, kind in (("accuracy", "raw"), ("nll", "scaled"), ("ece", "scaled")) if sweep.seeds > 1 else ():
        power = {
            "difference": 0.002,
            "deviation": 0.01,
            "floor": 0.004,
            "smallest": 0.03,
            "needed": 200.0 if kind == "raw" else np.nan,
        }
        frames["power"].append({"metric": metric, "kind": kind, **power})
    for name, rows in frames.items():
        pd.DataFrame(rows, columns=_EMPTY.get(name)).to_parquet(folder / f"{name}.parquet", index=False)
    write_results(root / AT.results, AT, table)


def _ensembles(name: str, twin: bool, noisy: bool, sweep: Sweep) -> list[dict[str, object]]:
    scores = {"point": name, "accuracy": 0.9, "nll": 0.3, "brier": 0.15, "ece": 0.03, "aurc": 0.02, "auroc": 0.8}
    scores |= {"corrupted_accuracy": 0.7, "corrupted_nll": 0.9}
    if not twin:
        worth = {"networks": 1, "equivalents": 1.4, "low": 1.0, "high": 2.5}
        return [
            {**scores, **worth, "samples": samples, "flops": 28e4 + 1e4 * samples} for samples in (0, 4)[: 1 + noisy]
        ]
    unknown = {"samples": 0, "low": np.nan, "high": np.nan}
    return [
        {**scores, **unknown, "networks": size, "equivalents": float(size), "flops": 28e4 * size}
        for size in range(1, sweep.seeds + 1)
    ]


def _coverage(name: str, score: str, sweep: Sweep, rng: np.random.Generator) -> list[dict[str, object]]:
    return [
        {
            "point": name,
            "score": score,
            "seed": seed,
            "coverage": step / 20,
            "risk": 0.1 * (step / 20) ** 2 * rng.uniform(0.9, 1.1),
        }
        for seed in range(sweep.seeds)
        for step in range(1, 21)
    ]


def _scores(name: str, sparse: bool, sweep: Sweep, rng: np.random.Generator) -> list[Row]:
    role, rows = "model" if sparse else "baseline", []
    for seed in range(sweep.seeds):
        for kind in ("raw", "scaled"):
            values = {
                "accuracy": 0.9,
                "nll": 0.3,
                "brier": 0.15,
                "ece": 0.04,
                "adaptive_ece": 0.03,
                "classwise_ece": 0.02,
            }
            if kind == "raw":
                values |= {
                    "corrupted_accuracy": 0.7,
                    "corrupted_nll": 0.9,
                    "corrupted_ece": 0.1,
                    "auroc": 0.8,
                    "fpr95": 0.7,
                    "validation_nll": 0.3,
                }
                values |= {"least_used": 0.6 if name != "unbalanced" else 0.02} if sparse else {}
            rows += [
                Row(kind, name, role, metric, value * rng.uniform(0.95, 1.05), seed=seed)
                for metric, value in values.items()
            ]
    return rows


def _differences(name: str, twin: str, sweep: Sweep) -> list[Row]:
    of = {"accuracy": sweep.accuracy, "nll": (0.01, -0.1, 0.1), "brier": (0.01, -0.1, 0.1)}
    return [
        Row(kind, difference_name(name, twin), "difference", metric, *difference)
        for kind in ("raw", "scaled")
        for metric, difference in {**of, "ece": sweep.ece[kind]}.items()
    ]


def _experts(name: str, experts: int, sweep: Sweep, rng: np.random.Generator) -> list[dict[str, object]]:
    return [
        {"point": name, "seed": seed, "expert": expert, "label": f"class {label}", "tokens": int(rng.integers(0, 40))}
        for seed in range(sweep.seeds)
        for expert in range(experts)
        for label in range(sweep.classes)
    ]


def _sampled(name: str, sweep: Sweep, rng: np.random.Generator) -> list[dict[str, object]]:
    scores = {"accuracy": 0.9, "nll": 0.3, "ece": 0.04}
    return [
        {
            "point": name,
            "seed": seed,
            "samples": samples,
            "flops": 275_000 + 5000 * max(samples, 1),
            **{metric: value * rng.uniform(0.9, 1.1) for metric, value in scores.items()},
        }
        for seed in range(sweep.seeds)
        for samples in (0, 1, 4)
    ]


def _reliability(name: str, sweep: Sweep, rng: np.random.Generator) -> list[dict[str, object]]:
    """All answers in the upper half of the bins."""
    bins, answers = sweep.bins, sweep.images * sweep.seeds
    count = np.zeros(bins, int)
    count[bins // 2 :] = rng.multinomial(answers, np.full(bins - bins // 2, 1 / (bins - bins // 2)))
    middle = (np.arange(bins) + 0.5) / bins
    return [
        {
            "point": name,
            "kind": kind,
            "bin": number,
            "count": int(count[number]),
            "confidence": middle[number] if count[number] else np.nan,
            "accuracy": min(1.0, middle[number] * rng.uniform(0.8, 1.1)) if count[number] else np.nan,
        }
        for kind in ("raw", "scaled")
        for number in range(bins)
    ]


def _corruption(name: str, sweep: Sweep, rng: np.random.Generator) -> list[dict[str, object]]:
    return [
        {
            "point": name,
            "seed": seed,
            "corruption": kind,
            "severity": severity,
            "accuracy": 0.95 - 0.05 * severity * rng.uniform(0.9, 1.1),
            "nll": 0.2 * severity,
            "ece": 0.03 * severity * rng.uniform(0.9, 1.1),
        }
        for seed in range(sweep.seeds)
        for kind in _CORRUPTIONS
        for severity in range(1, 6)
    ]


def _curve(name: str, experts: int, sweep: Sweep, rng: np.random.Generator) -> pd.DataFrame:
    """The last seed stops sooner than the others."""
    rows = []
    for seed in range(sweep.seeds):
        for epoch in range(1, sweep.epochs + 1 - (seed > 0 and seed == sweep.seeds - 1)):
            row = {"seed": seed, "epoch": epoch}
            for part in ("train", "validation"):
                row |= {f"{part}_nll": 2 / epoch, f"{part}_accuracy": 1 - 0.8 / epoch, f"{part}_loss": 2 / epoch}
                if experts:
                    share = rng.dirichlet(np.ones(experts))
                    row |= {f"{part}_entropy": rng.uniform(0.5, 1)}
                    row |= {f"{part}_load_{expert}": share[expert] for expert in range(experts)}
            rows.append({**row, "validation_ece": 0.3 / epoch**2})
    return pd.DataFrame(rows)
