"""TTNN's environment for tests: made where it can be, once, which takes minutes; else they are skipped."""

import fcntl
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ["sh", str(ROOT / "envs" / "ttnn" / "setup")]


@pytest.fixture(scope="session")
def ttnn_python() -> Path:
    """The Python of `.venv-ttnn`, made by one process at a time; what `make ttnn` records is left as it is."""
    libc, version = platform.libc_ver()
    if platform.machine() != "x86_64" or libc != "glibc" or tuple(map(int, version.split("."))) < (2, 34):
        pytest.skip("ttnn is published for Linux on x86-64 with glibc 2.34 or newer")
    name = f"celldag-ttnn-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        variables = os.environ | {"TTNN_PYTHON": ""}
        made = subprocess.run([*SETUP, ".venv-ttnn"], env=variables, capture_output=True, text=True, check=False)
    if made.returncode == 2 and "neither is on the PATH" in made.stderr:
        pytest.skip(made.stderr.strip())
    assert made.returncode == 0, made.stderr
    return ROOT / ".venv-ttnn" / "bin" / "python"
