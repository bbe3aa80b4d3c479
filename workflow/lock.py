"""dvc.lock as plain data, without DVC, whose import takes half a second that every job would pay."""

from pathlib import Path
from typing import Any

import yaml


def read_lock() -> dict[str, dict[str, Any]]:
    """The stages of dvc.lock by address: what each last ran with and made; empty before the first run."""
    lock = Path("dvc.lock")
    if not lock.exists():
        return {}
    content = yaml.load(lock.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    stages: dict[str, dict[str, Any]] = (content or {}).get("stages") or {}
    return stages
