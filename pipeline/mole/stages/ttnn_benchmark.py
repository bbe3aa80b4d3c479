"""What mixtures of linear experts cost on the CPU and on Tenstorrent's cards, and what coarser numbers cost them.

Always: PyTorch on the CPU, eager and compiled, and a roofline estimate of two cards. Where TTNN's environment is
(`make ttnn`): its golden functions on real test windows. Where a card is, or its simulator: the device. Anything else
is written as "not measured: <reason>", in the place of the number.

ttnn.json holds what repeats: `points` (by name: experts, top_k, `mse` of PyTorch; `golden`
and `device`, by data type: pcc_outputs, pcc_router, mse, mse_change, target_pcc, met) and `roofline` (label, cards,
points, goals). latency.json holds times: `machine`, `rows` (point, experts, trained, backend,
dtype, batch, p50_ms, p95_ms, sequences_per_second), `cost_of_experts` (by point and backend: median time over that of
one expert), `goals` (by point and backend). A sequence is one window of all channels.
"""

import torch

from pipeline.core.entry import run_study_stage
from pipeline.core.files import write_json
from pipeline.core.paths import StudyPaths
from pipeline.mole.params.ttnn import Ttnn
from pipeline.mole.ttnn.benchmark import (
    SECTION,
    agreements,
    cases_of,
    compared_windows,
    cpu_rows,
    device_rows,
    job_of,
    reference_of,
    ttnn_answers,
)
from pipeline.mole.ttnn.cpu import processor
from pipeline.mole.ttnn.roofline import rooflines
from pipeline.mole.ttnn.time_rows import cost_of_experts, goals_met
from pipeline.training.determinism import prepare_device

NOTE = "numbers of experts other than the trained one have untrained weights: only their times are told"


def run(settings: Ttnn, at: StudyPaths) -> None:
    """Write what agrees and what is estimated to ttnn.json, the times to latency.json."""
    prepare_device("cpu", settings.threads)
    cases = {name: cases_of(settings, at.models / name) for name in settings.points}
    windows = compared_windows(settings, cases, at.raw)
    shapes = {"horizon": settings.horizon, "lookback": windows.x_NCL.shape[2], "channels": windows.x_NCL.shape[1]}
    references = {name: reference_of(of_point[0], windows) for name, of_point in cases.items()}
    job = job_of(settings, cases, windows)
    golden, device = ttnn_answers(job)
    points = {
        name: {
            "experts": own.model.experts,
            "top_k": own.config.top_k,
            "mse": references[name].mse,
            "golden": agreements(settings, own, references[name], golden),
            "device": agreements(settings, own, references[name], device),
        }
        for name, (own, *_) in cases.items()
    }
    estimates = rooflines(
        {name: (own.config, job.constants[own.name]) for name, (own, *_) in cases.items()},
        settings.batch_sizes,
        sorted({settings.batch_sizes[0], settings.batch_sizes[-1]}),
        settings.data_types,
    )
    metrics = {**shapes, "windows": len(windows.x_NCL), "points": points, "roofline": estimates}
    rows = cpu_rows(settings, cases, windows) + device_rows(job, cases, device)
    latency = {
        "machine": {
            "processor": processor(),
            "threads": settings.threads,
            "torch": torch.__version__,
            "ttnn": golden if isinstance(golden, str) else golden.result["ttnn"],
            "device": device if isinstance(device, str) else device.result["device"],
        },
        **shapes,
        "note": NOTE,
        "rows": rows,
        "cost_of_experts": cost_of_experts(rows, settings.experts_batch_size),
        "goals": goals_met(rows),
    }
    write_json(at.reports / "ttnn.json", metrics)
    write_json(at.reports / "latency.json", latency)


if __name__ == "__main__":
    run_study_stage(SECTION, run)
