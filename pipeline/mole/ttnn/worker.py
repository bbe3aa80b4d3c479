"""What runs in TTNN's environment: programs from files, results to files. `python -m pipeline.mole.ttnn.worker FOLDER`.

FOLDER holds job.json, constants.safetensors and inputs.safetensors as pipeline/mole/ttnn/environment.py writes them,
and gets result.json and outputs.safetensors. B: windows, R: series of all windows, H: rows of the horizon, E: experts.
"""

import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.mole.ttnn.device_forecast import DeviceForecast, opened_device
from pipeline.mole.ttnn.golden_ops import GoldenOps
from pipeline.mole.ttnn.programs import Plan, forecast, place_constants, place_inputs
from pipeline.mole.ttnn.stopwatch import timed

JOB, CONSTANTS, INPUTS, RESULT, OUTPUTS = (
    "job.json",
    "constants.safetensors",
    "inputs.safetensors",
    "result.json",
    "outputs.safetensors",
)

Outputs = dict[str, Tensor]


def main(folder: Path) -> None:
    """Do the job in this folder."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    tensors, inputs = load_file(folder / CONSTANTS), load_file(folder / INPUTS)
    constants = {case: _of_case(tensors, case) for case in job["cases"]}
    ttnn = importlib.import_module("ttnn")
    result: dict[str, Any] = {"ttnn": version("ttnn")}
    outputs: Outputs = {}
    with torch.inference_mode():
        if job["mode"] == "golden":
            outputs = golden_outputs(ttnn, job, constants, inputs)
        else:
            device_result, outputs = on_device(ttnn, job, constants, inputs)
            result |= device_result
    save_file({name: value.contiguous() for name, value in outputs.items()}, folder / OUTPUTS)
    (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")


def golden_outputs(ttnn: Any, job: dict[str, Any], constants: dict[str, Outputs], inputs: Outputs) -> Outputs:
    """The forecasts and router weights of every case and data type, `<case>/<data type>/y_RH` and `.../weight_RE`."""
    outputs: Outputs = {}
    for case in job["agreement"]:
        plan = Plan(**job["cases"][case], batch=len(inputs["x_BCL"]))
        for data_type in job["data_types"]:
            ops = GoldenOps(ttnn, data_type)
            placed = place_inputs(ops, plan, inputs["x_BCL"], inputs["mark_BF"])
            y_RH, weight_RE = forecast(ops, plan, place_constants(ops, plan, constants[case]), *placed)
            outputs[f"{case}/{data_type}/y_RH"] = y_RH.value
            if weight_RE is not None:
                outputs[f"{case}/{data_type}/weight_RE"] = weight_RE.value
    return outputs


def on_device(
    ttnn: Any, job: dict[str, Any], constants: dict[str, Outputs], inputs: Outputs
) -> tuple[dict[str, Any], Outputs]:
    """Times and outputs from the first device; `unavailable` says why it could not be opened, and there is no more.

    Only opening it may fail so (no card, no kernel compiler): what fails on an open device is an error.
    """
    opening = opened_device(ttnn)
    try:
        device = opening.__enter__()
    except RuntimeError as error:
        return {"unavailable": first_reason(str(error))}, {}
    outputs: Outputs = {}
    try:
        timings = _timings(ttnn, device, job, constants, inputs)
        for case in job["agreement"]:
            for data_type in job["data_types"]:
                run = _ready(ttnn, device, job, case, len(inputs["x_BCL"]), data_type, constants[case])
                run(inputs["x_BCL"], inputs["mark_BF"])
                y_RH, weight_RE = run(inputs["x_BCL"], inputs["mark_BF"])  # the way every later minibatch goes
                run.close()
                outputs[f"{case}/{data_type}/y_RH"] = y_RH
                if weight_RE is not None:
                    outputs[f"{case}/{data_type}/weight_RE"] = weight_RE
        return {"device": str(ttnn.get_arch_name()), "timings": timings}, outputs
    finally:
        opening.__exit__(None, None, None)


def first_reason(message: str) -> str:
    """What a message of TTNN says, without the place in its source and the calls that led there."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    after = lines.index("info:") + 1 if "info:" in lines else 0
    return lines[after] if after < len(lines) else "no reason given"


def _timings(
    ttnn: Any, device: Any, job: dict[str, Any], constants: dict[str, Outputs], inputs: Outputs
) -> list[dict[str, Any]]:
    rows = []
    for row in job["timings"]:
        batch = row["batch"]
        order_B = torch.arange(batch) % len(inputs["x_BCL"])  # windows again where the minibatch is larger than the job
        x_BCL, mark_BF = inputs["x_BCL"][order_B], inputs["mark_BF"][order_B]
        run = _ready(ttnn, device, job, row["case"], batch, row["data_type"], constants[row["case"]])
        times = timed(lambda run=run, x=x_BCL, mark=mark_BF: run(x, mark), job["repeats"])  # type: ignore[misc]
        run.close()
        rows.append({**row, "p50_ms": times.p50, "p95_ms": times.p95})
    return rows


def _ready(
    ttnn: Any, device: Any, job: dict[str, Any], case: str, batch: int, data_type: str, constants: Outputs
) -> DeviceForecast:
    plan = Plan(**job["cases"][case], batch=batch)
    return DeviceForecast(ttnn, device, plan, constants, data_type, job["memory"], job["trace"])


def _of_case(tensors: Outputs, case: str) -> Outputs:
    prefix = f"{case}/"
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
