"""What failed in this Snakemake run: the last lines of each such stage, kept for its end.

In a long run they have scrolled away by then. The standard library alone, since `workflow.slurm` starts every second.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(".stamps/.failed")  # `workflow.stamps` empties it before a run


def write_failure(address: str, lines: Iterable[str]) -> None:
    """Keep the last lines of a failed stage for the end of the run."""
    path = FOLDER / address
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("\n".join([*lines, ""]), encoding="utf-8")
    partial.replace(path)


def show_failures() -> None:
    """Print them all on stderr."""
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            print(f"\nfailed: {path.relative_to(FOLDER)}", file=sys.stderr)
            print("\n".join(f"  {line}" for line in path.read_text(encoding="utf-8").splitlines()), file=sys.stderr)
