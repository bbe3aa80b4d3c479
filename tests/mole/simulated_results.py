"""What the evaluation of forecasts and both benchmarks on them would write, in small and in any shape."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import Row, write_results
from pipeline.mole.evaluation.result_rows import with_differences
from pipeline.mole.glossary import unit_of

AT = StudyPaths("mole", "series")
BACKBONES = ("dlinear", "rlinear", "rmlp")
BASELINES = {"ridge": 0.002, "channel_ridge": 0.003, "least_squares": 0.0, "seasonal_naive": 0.25, "last_value": 0.6}
REASON = "not measured: the TTNN environment is not set up (make ttnn)"


@dataclass
class Series:
    """`lead`: by what share the mixtures' MSE is below that of least squares, by horizon; `gain`: and below their dense
    twins'. `noise` is the standard deviation over seeds, as a share."""

    horizons: tuple[int, ...] = (24, 96)
    lookback: int = 96
    channels: tuple[str, ...] = ("load", "heat", "wind", "sun")
    experts: int = 4
    seeds: int = 3
    lead: dict[int, float] = field(default_factory=lambda: {24: 0.05, 96: 0.001})
    gain: float = 0.03
    noise: float = 0.002
    backbones: tuple[str, ...] = BACKBONES
    simulated: bool = True
    golden: bool = False
    device: bool = False
    intervals: bool = True


def write_forecasting(root: Path, series: Series | None = None) -> None:
    """All inputs of the chapters on forecasting and on inference."""
    series = series or Series()
    rng = np.random.default_rng(0)
    rows = _scores(series, rng)
    _results(root / AT.results, rows)
    _json(root / AT.details / "choices.json", _chosen(series))
    folder = root / AT.details
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in _frames(series, rows, rng).items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    source = {"simulated": series.simulated, "description": "Simulated: four channels of a plant over four months"}
    source |= {
        "channels": list(series.channels),
        "step_seconds": 3600,
        "rows": 2900,
        "input_sha256": "1" * 64,
        "notes": [],
    }
    _json(root / AT.raw / "source.json", source)
    write_measured(root, series)
    write_inference(root, series)


def write_measured(root: Path, series: Series) -> None:
    """What the benchmark on a measured series writes."""
    rows = _scores(series, np.random.default_rng(1))
    _results(root / "reports/measured/mole/etth1.csv", rows)
    about = {
        "title": "ETTh1, seven channels of a transformer's oil temperature and loads (a fixture of the tests)",
        "commands": ["python -m pipeline run etth1"],
        "study": "etth1",
        "commit": "f" * 40,
        "data_sha256": "0123456789abcdef" * 4,
        "changed": {"lookback": series.lookback, "seeds": list(range(series.seeds))},
        "description": "Split by months as in the field's protocol",
        **_chosen(series),
    }
    _json(root / "reports/measured/mole/etth1.json", about)


def write_inference(root: Path, series: Series) -> None:
    """What the stage ttnn_benchmark writes, with and without the environment and a device."""
    points = [f"mole_{backbone}" for backbone in series.backbones[:2]]
    shape = {"horizon": series.horizons[-1], "lookback": series.lookback, "channels": len(series.channels)}
    dtypes = {"bfloat16": 0.999, "bfloat8_b": 0.99}

    def agreement(there: bool, reason: str) -> dict[str, object]:
        found = {"pcc_outputs": 0.99999, "pcc_router": 0.9998, "mse": 0.38, "mse_change": 1.2e-5, "met": True}
        return {dtype: {**found, "target_pcc": target} if there else reason for dtype, target in dtypes.items()}

    no_device = "not measured: no Tenstorrent device"
    of_point = {
        "experts": series.experts,
        "top_k": None,
        "mse": 0.38,
        "golden": agreement(series.golden, REASON),
        "device": agreement(series.device, no_device),
    }
    estimate = {"flops_per_sequence": 5e5, "bytes_per_sequence": 3e5, "sequences_per_second": 9e5, "bound": "memory"}
    by_batch = {size: {**estimate, "latency_ms": 0.001 * int(size)} for size in ("1", "32", "512")}
    goals = ("200 sequences/s under 30 ms", "800 sequences/s under 15 ms")
    by_card = {card: dict.fromkeys(dtypes, by_batch) for card in ("n150", "p150")}
    reached = {point: {card: dict.fromkeys(dtypes, True) for card in by_card} for point in points}
    card = {"bandwidth_gb_per_second": 288, "peak_tflops": {"bfloat16": 74, "bfloat8_b": 148}, "source": "data sheet"}
    roofline = {
        "label": "estimate: no card ran this; from data-sheet figures alone",
        "cards": {name: {**card, "note": ""} for name in by_card},
        "points": dict.fromkeys(points, by_card),
        "goals": dict.fromkeys(goals, reached),
    }
    agreed = {**shape, "windows": 128, "points": dict.fromkeys(points, of_point), "roofline": roofline}
    _json(root / AT.reports / "ttnn.json", agreed)
    backends = {"pytorch_eager": 1.0, "pytorch_compiled": 0.5, "ttnn_device": 0.2 if series.device else None}
    rows = []
    for point in points:
        for backend, factor in backends.items():
            for batch in (1, 8, 64, 512):
                time = None if factor is None else factor * (0.3 + 0.01 * batch)
                names = ("p50_ms", "p95_ms", "sequences_per_second")
                found = (no_device,) * 3 if time is None else (time, 1.2 * time, 1e3 * batch / time)
                told = dict(zip(names, found, strict=True))
                row = {"point": point, "experts": series.experts, "trained": True, "backend": backend}
                rows.append({**row, "dtype": "float32", "batch": batch, **told})
    ratios = {"1": 1.0, "4": 1.4}
    cost = {name: {"batch": 256, "experts": ratios if factor else no_device} for name, factor in backends.items()}
    met = {name: dict.fromkeys(goals, True if factor else no_device) for name, factor in backends.items()}
    times = {
        "machine": {"processor": "a processor", "threads": 1, "torch": "2.0", "ttnn": REASON, "device": no_device},
        **shape,
        "note": "other expert counts than the trained one have untrained weights: only their time is told",
        "rows": rows,
        "cost_of_experts": dict.fromkeys(points, cost),
        "goals": dict.fromkeys(points, met),
    }
    _json(root / AT.reports / "latency.json", times)


def _scores(series: Series, rng: np.random.Generator) -> list[dict[str, object]]:
    """Mixtures by their lead, the first backbone the best; their twins worse by the gain; baselines above."""
    rows = []

    def add(horizon: int, method: str, role: str, seed: int | None, error: float) -> None:
        values = {"mse": error, "mae": error**0.5 * 0.8, "mase": error**0.5 * 0.7, "smape": 30 * error**0.5}
        values |= {"validation_mse": 1.1 * error} if role == "model" else {}
        if series.intervals and method in (f"mole_{series.backbones[0]}", "ridge", "seasonal_naive"):
            values |= {"coverage_90": 0.91, "width_90": 2 * error**0.5, "interval_score_90": 3 * error**0.5}
            values |= {"crps": error**0.5 / 2, "split_coverage_90": 0.96, "split_crps": error**0.5 / 1.8}
        for metric, value in values.items():
            labels = {"horizon": horizon, "method": method, "role": role, "seed": seed}
            rows.append({**labels, "metric": metric, "value": value})

    for horizon in series.horizons:
        level = 0.3 + 0.001 * horizon
        for rank, backbone in enumerate(series.backbones):
            mixture = level * (1 - series.lead.get(horizon, 0.0)) * (1 + 0.01 * rank)
            for point, error in ((backbone, mixture / (1 - series.gain)), (f"mole_{backbone}", mixture)):
                spread = series.noise * np.linspace(-1, 1, series.seeds) if series.seeds > 1 else np.zeros(1)
                for seed, part in enumerate(spread):
                    add(horizon, point, "model", seed, error * (1 + part))
        for name, above in BASELINES.items():
            add(horizon, name, "baseline", None, level * (1 + above))
    return rows


def _chosen(series: Series) -> dict[str, object]:
    starts = ("2021-04-12T00:00:00", "2021-05-03T00:00:00", "2021-05-25T16:00:00")
    origins = {
        f"mole_{backbone}": {start: 0.97 + 0.02 * rank + 0.01 * place for place, start in enumerate(starts)}
        for rank, backbone in enumerate(series.backbones)
    }
    origins["ridge"] = dict.fromkeys(starts, 1.05)  # all mixtures gain clearly
    origins["channel_ridge"] = {start: ratio + 0.01 for start, ratio in origins["ridge"].items()}
    ridge = {"lookback": 192, "offset": "last", "penalty": 0.1}
    maps = [ridge | {"lookback": 96 * place, "penalty": 10.0**-place} for place in range(1, 5)]
    choice = {
        "ridges": {"ridge": [ridge], "channel_ridge": maps},
        "chosen": f"mole_{series.backbones[0]}",
        "twin": series.backbones[0],
        "origins": origins,
    }
    horizons = [str(horizon) for horizon in series.horizons]
    return {"horizons": dict.fromkeys(horizons, choice), "windows": {name: 580 - int(name) for name in horizons}}


def _frames(series: Series, rows: list[dict[str, object]], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    frames: dict[str, list[dict[str, object]]] = {
        name: []
        for name in ("points", "channels", "steps", "expert_weights", "usage", "reduced", "coverage", "example")
    }
    table = pd.DataFrame(rows)
    mse = table[table["metric"] == "mse"].groupby(["horizon", "method"], sort=False)["value"].mean()
    for (horizon, method), error in mse.items():
        for rank, channel in enumerate(series.channels):
            values = {"mse": error * (0.8 + 0.1 * rank), "mae": error**0.5 * 0.8}
            frames["channels"].append({"horizon": horizon, "method": method, "channel": channel, **values})
        for step in range(1, horizon + 1):
            value = error * (0.5 + step / horizon)
            frames["steps"].append({"horizon": horizon, "method": method, "step": step, "mse": value})
    for horizon in series.horizons:
        for method in (f"mole_{series.backbones[0]}", "ridge", "seasonal_naive") if series.intervals else ():
            parts = {"step": range(1, horizon + 1), "hour": range(24), "channel": range(4), "block": range(5)}
            for by, values in parts.items():
                place = {"horizon": horizon, "method": method, "by": by}
                frames["coverage"].extend({**place, "value": one, "coverage": 0.9 + 0.0004 * one} for one in values)
        for backbone in series.backbones:
            for point, experts in ((backbone, 1), (f"mole_{backbone}", series.experts)):
                size = {"parameters": 9000 * experts, "flops": 18e3 * experts}
                of = {"horizon": horizon, "point": point, "backbone": backbone, "experts": experts, "top_k": np.nan}
                frames["points"].append({**of, "twin": backbone, **size})
            _of_mixture(series, f"mole_{backbone}", horizon, frames, float(mse[horizon, f"mole_{backbone}"]), rng)
    columns = {"coverage": ["horizon", "method", "by", "value", "coverage"]}
    return {name: pd.DataFrame(found, columns=columns.get(name)) for name, found in frames.items()}


def _of_mixture(
    series: Series,
    point: str,
    horizon: int,
    frames: dict[str, list[dict[str, object]]],
    error: float,
    rng: np.random.Generator,
) -> None:
    """Experts that take turns over the hours, and one that hardly serves."""
    experts, labels = series.experts, {"point": point, "horizon": horizon}
    for seed in range(series.seeds):
        for by, values in (("hour", 24), ("weekday", 7)):
            for channel in (*series.channels, "all"):
                depth = 1.5 * rng.uniform(0.5, 1) if by == "hour" else 0.3
                phase = 2 * np.pi * (np.arange(values) / values - np.arange(experts)[:, None] / experts)
                weight = np.exp(depth * np.cos(phase))
                weight /= weight.sum(0)
                for (expert, value), one in np.ndenumerate(weight):
                    place = {"by": by, "value": value, "channel": channel, "expert": expert}
                    frames["expert_weights"].append({**labels, "seed": seed, **place, "weight": one})
        share = rng.dirichlet(np.ones(experts))
        for expert in range(experts):
            of = {"seed": seed, "expert": expert, "weight": share[expert], "top": np.roll(share, 1)[expert]}
            frames["usage"].append({**labels, **of})
        for way in ("prune", "top_k"):
            for kept in range(1, experts + 1):
                worse = error * (1 + 0.01 * (experts - kept) + 0.001 * seed)
                of = {"way": way, "experts": kept, "seed": seed, "mse": worse, "mae": worse**0.5}
                frames["reduced"].append({**labels, **of, "validation_mse": 1.1 * worse})
    step = np.arange(1 - series.lookback, horizon + 1)
    for channel in series.channels:
        truth = 20 + 5 * np.sin(2 * np.pi * step / 24) + rng.normal(0, 0.5, len(step))
        lines = {"truth": truth, "mixture": truth + rng.normal(0, 1, len(step)), "least_squares": truth + 1}
        lines |= {"low": truth - 2, "high": truth + 2} if series.intervals else {}
        lines |= {f"expert_{expert + 1}": truth + expert - 1.5 for expert in range(experts)}
        for name, line in lines.items():
            for at, value in zip(step, line, strict=True):
                if name == "truth" or at > 0:
                    of = {"window": "2017-05-01 00:00", "channel": channel, "series": name, "step": at, "value": value}
                    frames["example"].append({**labels, **of})


def _results(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = [
        Row(unit_of(row["horizon"]), row["method"], row["role"], row["metric"], row["value"], seed=row["seed"])
        for row in rows
    ]
    mixtures = [row["method"] for row in rows if str(row["method"]).startswith("mole_")]
    twins = {str(name): str(name).removeprefix("mole_") for name in mixtures}
    write_results(path, AT, with_differences(scores, twins, {}), 10)


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
