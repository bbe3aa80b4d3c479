"""Speed of forecasting: an epoch of training, the search of the ridge, single forecasts and many, and many series.

    python -m benchmarks.forecast_speed
    python -m benchmarks.forecast_speed --only epoch,search --quick

`epoch`: MoLE-DLinear, 4 experts, lookback 336, horizon 96, 7 channels, minibatches of 32, on simulated values in the
shape of ETTh1 (8,640 train rows, 2,880 validation rows): the fit loop, validation included, compared with a naive loop
(a DataLoader over windows in memory, decomposition and experts as in the papers), and with the bare matrix products.
`inference`: latency of one window and windows per second of many. `experts`: cost of E experts packed in one product,
and one by one, over one expert. `router`: weights from the cache beside the router's own. Measurements are interleaved;
tables hold medians, and ratios are paired. `search`: the whole search of the ridge, once, as the stage `ridge` runs it
with three earlier origins, on simulated values in the shape of ETTh1 (what it costs does not depend on the values).
`series`: 1,000 series of 2,000 rows in one file, from the file to forecasts (`benchmarks.many_series`).
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, mse_loss, pad
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.router_cache import RouterCache
from benchmarks.tables import print_tables
from pipeline.mole.data.layouts import rows_needed, split_rows
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RIDGE, groups_of
from pipeline.mole.data.series import Series
from pipeline.mole.data.step import Step
from pipeline.mole.data.time_features import time_features
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Recipe
from pipeline.mole.stages.ridge import searched
from pipeline.params.optimisation import Optimisation
from pipeline.training.fit import fit

LOOKBACK, HORIZON, CHANNELS, EXPERTS, BATCH = 336, 96, 7, 4, 32
TRAIN_ROWS, VALIDATION_ROWS = 8640, 2880 + LOOKBACK
CPU = torch.device("cpu")


def epoch(arguments: argparse.Namespace) -> None:
    """Seconds of one epoch of training and its validation."""
    turns = 2 if arguments.quick else 7
    train, validation = windows(TRAIN_ROWS), windows(VALIDATION_ROWS)
    times = by_turns(
        {
            "the fit loop, data resident": lambda: _fit_epoch(train, validation),
            "DataLoader, decomposition and experts as written down": lambda: _obvious_epoch(train, validation),
            "the products of matrices alone": lambda: _products(train),
        },
        turns,
    )
    _table("seconds", times, "the fit loop, data resident", 1)


def _fit_epoch(train: Windows, validation: Windows) -> float:
    """Two epochs: the first includes one-time setup; the second is typical."""
    seconds = [_fit_seconds(train, validation, epochs) for epochs in (1, 2)]
    return seconds[1] - seconds[0]


def _fit_seconds(train: Windows, validation: Windows, epochs: int) -> float:
    objective = ForecastObjective(mole(EXPERTS))
    settings = Optimisation(
        learning_rate=1e-4,
        weight_decay=0.0,
        gradient_clip=5.0,
        batch_size=BATCH,
        epochs=epochs,
        patience=epochs,
        seed=0,
        threads=torch.get_num_threads(),
        device="cpu",
    )
    sources = ResidentWindows(train, BATCH, CPU, 0), ResidentWindows(validation, 256, CPU)
    started = time.perf_counter()
    fit("benchmark", objective, *sources, settings, CPU)
    return time.perf_counter() - started


class Obvious(nn.Module):
    """The mixture as the papers write it down: a moving average, two linears per expert, a weighted sum."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.seasonal = nn.ModuleList(nn.Linear(LOOKBACK, HORIZON) for _ in range(experts))
        self.trend = nn.ModuleList(nn.Linear(LOOKBACK, HORIZON) for _ in range(experts))
        width = experts * CHANNELS
        self.router = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width))
        self.experts = experts

    def forward(self, x_BCL: Tensor, mark_BF: Tensor) -> Tensor:
        trend_BCL = avg_pool1d(pad(x_BCL, (12, 12), mode="replicate"), 25, 1)
        rest_BCL = x_BCL - trend_BCL
        weight_BCE = self.router(mark_BF).view(-1, CHANNELS, self.experts).softmax(2)
        heads = [s(rest_BCL) + t(trend_BCL) for s, t in zip(self.seasonal, self.trend, strict=True)]
        return (torch.stack(heads, 2) * weight_BCE[..., None]).sum(2)


def _obvious_epoch(train: Windows, validation: Windows) -> float:
    model = Obvious(EXPERTS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loaders = [
        DataLoader(
            TensorDataset(*(torch.from_numpy(part.copy()) for part in (w.x(every), w.mark(every), w.y(every)))),
            batch_size=BATCH,
            shuffle=shuffle,
        )
        for w, shuffle in ((train, True), (validation, False))
        for every in (slice(None),)
    ]
    started = time.perf_counter()
    for x_BCL, mark_BF, y_BCH in loaders[0]:
        optimizer.zero_grad()
        loss = mse_loss(model(x_BCL, mark_BF), y_BCH)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    with torch.no_grad():
        sum(float(mse_loss(model(x_BCL, mark_BF), y_BCH)) for x_BCL, mark_BF, y_BCH in loaders[1])
    return time.perf_counter() - started


def _products(train: Windows) -> float:
    """Forward and backward of two linears of all experts, for every minibatch of an epoch."""
    x_RL = torch.randn(BATCH * CHANNELS, LOOKBACK)
    weight_PL, grad_RP = torch.randn(EXPERTS * HORIZON, LOOKBACK), torch.randn(BATCH * CHANNELS, EXPERTS * HORIZON)
    started = time.perf_counter()
    for _ in range(-(-len(train) // BATCH)):
        for _ in range(2):
            x_RL @ weight_PL.T
            grad_RP.T @ x_RL
    return time.perf_counter() - started


@torch.no_grad()
def inference(arguments: argparse.Namespace) -> None:
    """Milliseconds of one window, p50 and p95, and windows per second at 256."""
    model = mole(EXPERTS).eval()
    for batch, repeats in ((1, 2000), (256, 100)):
        x_BCL, mark_BF, _ = inputs(batch)
        took = []
        for _ in range(5 if arguments.quick else repeats):
            started = time.perf_counter()
            model(x_BCL, mark_BF)
            took.append(time.perf_counter() - started)
        p50, p95 = np.percentile(took, [50, 95]) * 1e3
        print(f"batch {batch}: p50 {p50:.3f} ms, p95 {p95:.3f} ms, {batch / p50 * 1e3:,.0f} windows/s")


@torch.no_grad()
def experts(arguments: argparse.Namespace) -> None:
    """Milliseconds of 256 windows."""
    x_BCL, mark_BF, _ = inputs(256)
    for count in (1, 2, 4, 8, 16):
        models = {"packed": mole(count).eval(), "one by one": Obvious(count).eval(), "one expert": mole(1).eval()}
        times = by_turns(
            {name: _timed(model, x_BCL, mark_BF) for name, model in models.items()}, 2 if arguments.quick else 15
        )
        print(f"\n{count} experts\n")
        _table("milliseconds", times, "packed", 1000)


@torch.no_grad()
def router(arguments: argparse.Namespace) -> None:
    """Microseconds of the weights of one window whose time stamp was met before."""
    model = mole(EXPERTS).eval()
    _, mark_BF, stamp_B = inputs(1)
    cache = RouterCache(model)
    cache.weights(stamp_B, mark_BF)
    times = by_turns(
        {
            "from the cache": _timed(cache.weights, stamp_B, mark_BF),
            "by the router": _timed(model.router_weights, mark_BF),
        },
        2 if arguments.quick else 500,
    )
    _table("microseconds", times, "from the cache", 1_000_000)


def search(arguments: argparse.Namespace) -> None:
    """Seconds and CPU seconds at each horizon, and of all."""
    rows = rows_needed("etth")
    value_TC = np.random.default_rng(0).normal(size=(rows, CHANNELS)).cumsum(0)
    channels = tuple(f"channel_{number}" for number in range(CHANNELS))
    splits = split_rows("etth", rows)
    assert splits is not None, "enough rows"
    series = Series(np.arange(rows) * 3600, value_TC, channels, Step(3600), splits)
    recipe = Recipe(lookback=LOOKBACK, horizons=[96] if arguments.quick else [96, 192, 336, 720], earlier_origins=3)
    found = []
    print("| horizon | seconds | CPU seconds |\n|--:|--:|--:|")
    for horizon in recipe.horizons:
        started = time.perf_counter(), time.process_time()
        searched(series, RidgeGrid(), recipe, horizon, groups_of(series)[RIDGE])
        found.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        print(f"| {horizon} | {found[-1][0]:.1f} | {found[-1][1]:.1f} |", flush=True)
    print(f"| all | {sum(took for took, _ in found):.1f} | {sum(took for _, took in found):.1f} |")


def series(arguments: argparse.Namespace) -> None:
    """Of the whole way through the pipeline, from a process without this one's memory, which is no step's."""
    size = ["--series", "20", "--rows", "400"] if arguments.quick else []
    subprocess.run([sys.executable, "-m", "benchmarks.many_series", *size], check=True)


def mole(count: int) -> Mole:
    torch.manual_seed(0)
    sizes = {"lookback": LOOKBACK, "horizon": HORIZON, "channels": CHANNELS, "experts": count}
    return Mole(MoleConfig(backbone="dlinear", offset="last", **sizes))


def windows(rows: int) -> Windows:
    value_CT = np.random.default_rng(0).normal(size=(CHANNELS, rows)).cumsum(1).astype(np.float32)
    stamp_T = np.arange(rows, dtype=np.int64) * 3600
    return Windows(value_CT / value_CT.std(), time_features(stamp_T), stamp_T, LOOKBACK, HORIZON)


def inputs(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, C, L), mark (B, F), stamp (B,)"""
    found = ResidentWindows(windows(LOOKBACK + HORIZON + batch), batch, CPU).take(torch.arange(batch))
    return found.x_BCL, found.mark_BF, found.stamp_B


def _timed(function: Callable[..., object], *given: Tensor) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        function(*given)
        return time.perf_counter() - started

    return once


def by_turns(runs: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Seconds of each, interleaved, so that slow moments of the machine affect all."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():  # warm
        run()
    for _ in range(turns):
        for name, run in runs.items():
            found[name].append(run())
    return found


def _table(unit: str, times: Mapping[str, list[float]], reference: str, factor: float) -> None:
    print(f"| | {unit} | over {reference} |\n|---|--:|--:|")
    for name, took in times.items():
        ratio = statistics.median(t / r for t, r in zip(took, times[reference], strict=True))
        print(f"| {name} | {statistics.median(took) * factor:.3g} | {ratio:.2f} |")


if __name__ == "__main__":
    tables = {
        "epoch": epoch,
        "inference": inference,
        "experts": experts,
        "router": router,
        "search": search,
        "series": series,
    }
    print_tables(__doc__, tables)
