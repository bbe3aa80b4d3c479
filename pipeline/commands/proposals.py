"""Which system data are for, and a study of it drafted from them: each system looks into its own kind of data."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed
from pipeline.data.file_kind import file_kind, is_recipe, unpacking
from pipeline.params.draft import Draft

# In the order they are asked: cells with a control are perturbed, whatever else is known of them.
PROPOSALS = {
    "cfm_vc": "pipeline.cfm_vc.data.proposal",
    "alphastomics": "pipeline.alphastomics.data.proposal",
    "bayes_moe": "pipeline.bayes_moe.data.proposal",
    "mole": "pipeline.mole.data.proposal",
}
TAKEN = (
    "cells (.h5ad, a zarr store, or a folder of them), images (a folder with a sub-folder per class, or a CIFAR "
    "archive) or a time series (.csv)"
)


class Proposing(Protocol):
    """A module of PROPOSALS."""

    def recognise(self, paths: tuple[Path, ...], given: Mapping[str, Any]) -> str | None:
        """Why the data are for this system, in a few words; None where they are not."""

    def propose(self, paths: tuple[Path, ...], draft: Draft, shared: Any) -> None:
        """Add all that the data decide; shared: the system's section of params.yaml."""


def proposing(system: str) -> Proposing:
    """The system's module."""
    return cast(Proposing, importlib.import_module(PROPOSALS[system]))


def recognise(paths: tuple[Path, ...], given: Mapping[str, Any]) -> tuple[str, str]:
    """The system that the data are for, and why. ExpectedError where there is none."""
    for path in paths:
        _refuse_other_kinds(path)
    for system in PROPOSALS:
        reason = proposing(system).recognise(paths, given)
        if reason is not None:
            return system, reason
    raise _unknown(paths)


def _refuse_other_kinds(path: Path) -> None:
    kind = file_kind(path)
    if is_recipe(path):
        raise ExpectedError(f"{path} is a YAML file: studies that are written already are added with the command add")
    name = path.name.lower()
    line = unpacking(path, kind)
    if line is not None and not (kind in ("gzip", "tar") and name.endswith((".tar.gz", ".tgz", ".tar"))):
        raise ExpectedError(f"{path} is packed ({kind}): unpack it ({line}), and name what comes out")


def _unknown(paths: tuple[Path, ...]) -> ExpectedError:
    """Why the data are for no system."""
    from pipeline.data.cell_files import are_cells, look_into, shown_labels

    named = listed(paths, 3)
    if are_cells(paths):
        cells = look_into(paths)
        columns = "\n".join(f"    {name}: {shown_labels(column)}" for name, column in cells.labels.items())
        return ExpectedError(
            f"{named}: cells, but of what kind? No column has a label like ctrl, DMSO or PBS, and obsm has no array "
            f"like spatial. Columns of labels:\n{columns or '    none'}\n"
            "Perturbed cells: say which column tells treated cells from others, and which label the others have,\n"
            "    --set ingest.columns.perturbation=COLUMN --set ingest.control=LABEL\n"
            "Cells in tissue: say where their positions are,\n"
            "    --system alphastomics --set ingest.spatial=KEY   (or '[x, y]', two obs columns)"
        )
    return ExpectedError(f"{named}: expected {TAKEN}; if it is one of these, --system NAME tells what is wrong with it")
