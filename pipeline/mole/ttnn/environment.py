"""TTNN's environment seen from the project's own: whether it is there, and a job done in it.

TTNN needs another Python and another numpy than the project, so it lives in an environment of its own (`make ttnn`) and
is called as a process, with files in and out. B: windows, C: channels, L: rows of the lookback, F: time features.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.mole.ttnn import worker
from pipeline.mole.ttnn.programs import Plan

INSTALLED = Path("envs/ttnn/installed.json")  # written by `make ttnn`, and not in git: where the environment is
CLUSTER = Path("envs/ttnn/cluster.yaml")  # of a card to imagine, which host tensors in bfloat8_b ask for
DRIVER = Path("/dev/tenstorrent")  # where the kernel's driver shows cards
SIMULATOR = "TT_METAL_SIMULATOR"  # names Tenstorrent's simulator, which takes the place of a card
IMAGINED = "TT_METAL_MOCK_CLUSTER_DESC_PATH"  # names the description of a card to imagine

AGAIN = "make it again with: make ttnn"


@dataclass(frozen=True)
class Job:
    """What is to be done: cases are plans and constants by name, of which some are compared and some are timed."""

    plans: Mapping[str, Plan]
    constants: Mapping[str, Mapping[str, Tensor]]
    x_BCL: Tensor
    mark_BF: Tensor
    agreement: list[str]  # cases
    data_types: list[str]
    threads: int
    timings: list[dict[str, Any]] = field(default_factory=list)  # case, batch, data_type
    memory: str = "dram"
    trace: bool = True
    repeats: int = 1


@dataclass(frozen=True)
class Done:
    """What came of it. `outputs`: `<case>/<data type>/y_RH` and `.../weight_RE`."""

    result: dict[str, Any]
    outputs: dict[str, Tensor]


def installed_python() -> Path | None:
    """The Python of TTNN's environment; None where it was not made. ExpectedError where it was and is gone."""
    try:
        content = read_json(INSTALLED)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ExpectedError(f"{INSTALLED} is damaged ({error}): {AGAIN}") from error
    if not isinstance(content, dict) or not isinstance(content.get("python"), str):
        raise ExpectedError(f"{INSTALLED} is damaged (it names no Python): {AGAIN}")
    python = Path(content["python"])
    if not python.is_file():
        raise ExpectedError(
            f"{INSTALLED} says that TTNN's environment has {python}, which does not exist: {AGAIN} (or remove "
            f"{INSTALLED} to do without)"
        )
    return python


def no_device() -> str | None:
    """Why there is no device to try, if so."""
    if os.environ.get(SIMULATOR) or DRIVER.exists():
        return None
    return f"there is no Tenstorrent card ({DRIVER} does not exist) and {SIMULATOR} names no simulator"


def do(job: Job, python: Path, mode: Literal["golden", "device"]) -> Done:
    """The job done by `python`: through the golden functions on the host, or on a device.

    ExpectedError where the process fails, with the last line it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="celldag-ttnn-") as name:
        folder = Path(name)
        _write(job, folder, mode)
        process = subprocess.run(
            [str(python.absolute()), "-m", worker.__name__, str(folder)],
            cwd=folder,  # TTNN leaves files where it runs
            env=_environment(job, mode),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if process.returncode != 0:
            lines = [line for line in process.stderr.splitlines() if line.strip()]
            said = lines[-1].strip() if lines else "nothing on its standard error"
            raise ExpectedError(
                f"TTNN's environment ({python}) failed with exit code {process.returncode}: {said}; {AGAIN}"
            )
        try:
            return Done(read_json(folder / worker.RESULT), load_file(folder / worker.OUTPUTS))
        except (OSError, json.JSONDecodeError, safetensors.SafetensorError) as error:
            raise ExpectedError(f"TTNN's environment ({python}) left no usable result: {error}; {AGAIN}") from error


def _write(job: Job, folder: Path, mode: str) -> None:
    cases = {
        name: {key: value for key, value in asdict(plan).items() if key != "batch"} for name, plan in job.plans.items()
    }
    told = ("agreement", "data_types", "threads", "timings", "memory", "trace", "repeats")
    content = {"mode": mode, "cases": cases} | {name: getattr(job, name) for name in told}
    (folder / worker.JOB).write_text(json.dumps(content), encoding="utf-8")
    constants = {f"{case}/{name}": value for case, of_case in job.constants.items() for name, value in of_case.items()}
    save_file(constants, folder / worker.CONSTANTS)
    save_file({"x_BCL": job.x_BCL.contiguous(), "mark_BF": job.mark_BF.contiguous()}, folder / worker.INPUTS)


def _environment(job: Job, mode: str) -> dict[str, str]:
    """The process's environment: this project's code is found, and golden functions imagine a card."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    # A ttnn built from source may be found by PYTHONPATH, so what is there stays.
    found = [str(Path(worker.__file__).parents[3]), *filter(None, [variables.get("PYTHONPATH")])]
    variables |= {
        "PYTHONPATH": os.pathsep.join(found),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": str(job.threads),
    }
    variables.pop(IMAGINED, None)
    if mode == "golden":
        variables.pop(SIMULATOR, None)
        variables[IMAGINED] = str(CLUSTER.absolute())
    return variables
