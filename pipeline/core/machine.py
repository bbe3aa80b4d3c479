"""The machine that results are made on: processor, instruction set, versions of native code. Imports nothing heavy."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
WIDEST_FIRST = ("avx512f", "avx2", "avx", "sse4_1")
KERNEL_VARIABLES = ("DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")  # limit the kernels of oneDNN and of PyTorch


def describe_machine() -> str:
    """One line: processor, its widest instruction set, what limits the kernels, versions of Python, torch and numpy."""
    limits = [f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if name in os.environ]
    parts = [f"{processor()} ({', '.join([platform.machine(), *_widest()])})", *limits, libraries()]
    return ", ".join(parts)


def processor() -> str:
    """The processor's name as the system reports it."""
    names = _cpu_info("model name")
    return next(iter(names), platform.processor() or platform.machine())


def libraries() -> str:
    """Versions of what native code there is, without importing it."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _widest() -> list[str]:
    """The processor's widest vector instructions, which decide the libraries' kernels; empty where unknown."""
    flags = {flag for line in _cpu_info("flags")[:1] for flag in line.split()}
    return [name.upper() for name in WIDEST_FIRST if name in flags][:1]


def _cpu_info(key: str) -> list[str]:
    if not CPU_INFO.is_file():
        return []
    lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]
