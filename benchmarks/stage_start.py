"""How long a training stage takes from process start to its first training step, on the default embedded data.

    python -m benchmarks.stage_start

Both stages start in a folder of their own, several times; the first step is where the objective is first called to
train. The stage's code is unchanged: a small driver stops it there.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import load, measure

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5
REACH_SECONDS = 5.0
# Ends the process when the module that the loop trains is first called in training mode.
DRIVER = """
import os, runpy, sys
from torch import nn
def first_call(module, arguments):
    if module.training and type(module).__name__.endswith("Objective"):
        print("first step", flush=True)
        os._exit(0)
nn.modules.module.register_module_forward_pre_hook(first_call)
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "params.yaml", folder)
        shutil.copytree(ROOT / "data" / "embedded", folder / "data" / "embedded")
        for stage in ("ingest", "preprocess", "vae_pretrain"):
            measure([sys.executable, "-m", f"pipeline.cfm_vc.stages.{stage}"], folder)
        print(f"{load()}\n\n| stage | min | median | max | reach |\n|---|---|---|---|---|")
        for stage in ("vae_pretrain", "flow_train"):
            seconds = sorted(seconds_to_first_step(stage, folder) for _ in range(RUNS))
            middle = statistics.median(seconds)
            print(f"| {stage} | {seconds[0]:.1f} s | {middle:.1f} s | {seconds[-1]:.1f} s | <= {REACH_SECONDS:.0f} s |")


def seconds_to_first_step(stage: str, folder: Path) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-c", DRIVER, f"pipeline.cfm_vc.stages.{stage}"]
    ended = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if "first step" not in ended.stdout:
        raise SystemExit(f"{stage} ended before its first step:\n{ended.stdout}{ended.stderr}")
    return seconds


if __name__ == "__main__":
    main()
