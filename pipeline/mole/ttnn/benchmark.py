"""The steps of the stage `ttnn_benchmark`: what is measured, on which windows, and the answers as rows.

N: windows compared, C: channels, R = N C, L: rows of the lookback, H: of the horizon, E: experts, F: time features.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import read_series
from pipeline.mole.data.windows import windows_of
from pipeline.mole.model.mixture import Mole, MoleConfig
from pipeline.mole.params.ttnn import Ttnn
from pipeline.mole.points import read_point
from pipeline.mole.ttnn.agreement import Reference, agreement
from pipeline.mole.ttnn.constants import constants_of, plan_of, refuse_backbone
from pipeline.mole.ttnn.cpu import compiled_times, eager_times
from pipeline.mole.ttnn.environment import Done, Job, do, installed_python, no_device
from pipeline.mole.ttnn.stopwatch import Times
from pipeline.mole.ttnn.time_rows import Rows, row_of
from pipeline.training.determinism import initial_weights

SECTION = "mole.ttnn"  # of params.yaml
NOT_SET_UP = "not measured: TTNN's environment is not set up (make ttnn)"


class Case(NamedTuple):
    """One mixture: a point's own, trained, or with another number of experts, untrained."""

    point: str
    trained: bool
    model: Mole

    @property
    def name(self) -> str:
        return f"{self.point}_{self.model.experts}"

    @property
    def config(self) -> MoleConfig:
        return self.model.config

    @property
    def told(self) -> tuple[str, int, bool]:
        """What a row of times says of it first."""
        return self.point, self.model.experts, self.trained


class Windows(NamedTuple):
    """The test windows that are compared, and looked at again and again where a minibatch is timed."""

    x_NCL: torch.Tensor
    y_NCH: torch.Tensor
    mark_NF: torch.Tensor

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As many of them, from the first on, and again from there where there are fewer."""
        order_B = torch.arange(size) % len(self.x_NCL)
        return self.x_NCL[order_B], self.mark_NF[order_B]


def cases_of(settings: Ttnn, folder: Path) -> list[Case]:
    """The point as its best seed on validation left it, then the same with other numbers of experts."""
    point, name = read_point(folder), folder.name
    if settings.horizon not in point.validation:
        known = ", ".join(map(str, point.validation))
        raise ExpectedError(
            f"{SECTION}.horizon = {settings.horizon}: {name} was trained for {known}; name one of these"
        )
    refuse_backbone(point.backbone)
    model, _ = point.load(settings.horizon, point.best_seed(settings.horizon))
    assert isinstance(model, Mole)
    if settings.top_k is not None:
        model.config = model.config.model_copy(update={"top_k": settings.top_k})
    plan_of(model.config, 1)  # is there such a program?
    cases = [Case(name, True, model)]
    for experts in settings.experts:
        if experts != model.experts:
            kept = None if model.config.top_k is None else min(model.config.top_k, experts)
            changes = {"experts": experts, "top_k": kept, "router_hidden": None}
            with initial_weights(0):
                other = Mole(model.config.model_copy(update=changes))
            cases.append(Case(name, False, other.eval()))
    return cases


def compared_windows(settings: Ttnn, cases: dict[str, list[Case]], raw: Path) -> Windows:
    """Evenly spaced test windows. ExpectedError where the points differ in lookback, or have other channels."""
    series = read_series(raw)
    lookbacks = {own.model.lookback for own, *_ in cases.values()}
    if len(lookbacks) > 1:
        raise ExpectedError(
            f"{SECTION}.points were trained with different lookbacks: {sorted(lookbacks)}; train them anew"
        )
    if any(own.model.channels != len(series.channels) for own, *_ in cases.values()):
        raise ExpectedError(f"the forecasters were trained on other channels than {raw} has: run dvc repro")
    windows = windows_of(series, fit_scaler(series), "test", lookbacks.pop(), settings.horizon)
    rows_N = np.unique(np.linspace(0, len(windows) - 1, min(settings.windows, len(windows))).astype(np.int64))
    return Windows(*(torch.from_numpy(take(rows_N).copy()) for take in (windows.x, windows.y, windows.mark)))


def reference_of(case: Case, windows: Windows) -> Reference:
    """What PyTorch answers in float32."""
    with torch.inference_mode():
        y_NCH = case.model(windows.x_NCL, windows.mark_NF)
        weight_NCE = case.model.router_weights(windows.mark_NF)
    weight_RE = weight_NCE.flatten(0, 1) if case.model.experts > 1 else None
    return Reference(y_NCH.flatten(0, 1), weight_RE, windows.y_NCH.flatten(0, 1))


def job_of(settings: Ttnn, cases: dict[str, list[Case]], windows: Windows) -> Job:
    """What TTNN is asked: each point compared, and timed in all its numbers of experts."""
    every = [case for of_point in cases.values() for case in of_point]
    return Job(
        {case.name: plan_of(case.config, 1) for case in every},
        {case.name: constants_of(case.config, case.model.state_dict()) for case in every},
        windows.x_NCL,
        windows.mark_NF,
        [own.name for own, *_ in cases.values()],
        list(settings.data_types),
        settings.threads,
        [
            {"case": case.name, "batch": batch, "data_type": data_type}
            for data_type in settings.data_types
            for case in every
            for batch in batch_sizes(settings, case)
        ],
        settings.memory,
        settings.trace,
        settings.repeats,
    )


def batch_sizes(settings: Ttnn, case: Case) -> list[int]:
    """All of them for a trained mixture; of the others, the one that experts are compared at, and 1."""
    if case.trained:
        return sorted({*settings.batch_sizes, settings.experts_batch_size})
    return sorted({1, settings.experts_batch_size})


def ttnn_answers(job: Job) -> tuple[Done | str, Done | str]:
    """The golden functions' answers and the device's, or why there are none."""
    python: Path | None = installed_python()
    if python is None:
        return NOT_SET_UP, NOT_SET_UP
    golden = do(job, python, "golden")
    missing = no_device()
    if missing is not None:
        return golden, f"not measured: {missing}"
    device = do(job, python, "device")
    unavailable = device.result.get("unavailable")
    return golden, device if unavailable is None else f"not measured: no device could be opened: {unavailable}"


def agreements(settings: Ttnn, own: Case, reference: Reference, done: Done | str) -> dict[str, Any]:
    """By data type, how close the answers come to the reference; or why there are none."""
    if isinstance(done, str):
        return dict.fromkeys(settings.data_types, done)
    return {
        data_type: agreement(reference, done.outputs, f"{own.name}/{data_type}", data_type)
        for data_type in settings.data_types
    }


def cpu_rows(settings: Ttnn, cases: dict[str, list[Case]], windows: Windows) -> Rows:
    """Times of PyTorch on the CPU, eager and compiled."""
    rows: Rows = []
    for case in (case for of_point in cases.values() for case in of_point):
        for batch in batch_sizes(settings, case):
            eager = eager_times(case.model, *windows.batch(batch), settings.repeats)
            rows.append(row_of(*case.told, "pytorch_eager", "float32", batch, eager))
        for batch in settings.compiled_batch_sizes if case.trained else ():
            compiled = compiled_times(case.model, *windows.batch(batch), settings.repeats)
            rows.append(row_of(*case.told, "pytorch_compiled", "float32", batch, compiled))
    return rows


def device_rows(job: Job, cases: dict[str, list[Case]], device: Done | str) -> Rows:
    """Times on the device, or why there are none."""
    by_name = {case.name: case for of_point in cases.values() for case in of_point}
    timed = job.timings if isinstance(device, str) else device.result["timings"]
    return [
        row_of(
            *by_name[row["case"]].told,
            "ttnn_device",
            row["data_type"],
            row["batch"],
            device if isinstance(device, str) else Times(row["p50_ms"], row["p95_ms"]),
        )
        for row in timed
    ]
