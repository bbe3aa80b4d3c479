"""Training on every kind of processor: each network, under a malloc that finds what is written past a buffer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processors.networks import NETWORKS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# Kernels are chosen by the processor's instructions. These make less of them: what an older or another one chooses.
PROCESSORS = {
    "this one": {},
    "AVX2": {"DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "SSE4.1": {"DNNL_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_network_trains_within_its_memory_and_by_the_gradients_of_float64(processor):
    variables = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.processors.training_steps"],
        cwd=ROOT,
        env=os.environ | variables | PROCESSORS[processor],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    if not found["debugged"]:
        reason = "glibc's libc_malloc_debug.so.0 is not installed: nothing tells what is written past a buffer"
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
    assert found["overrun"] == "SIGABRT"
    assert found["networks"] == dict.fromkeys(NETWORKS, "ok")
