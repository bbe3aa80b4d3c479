"""The control cells of a served model, saved beside its weights as safetensors and JSON, no pickle.

N: control cells, G: genes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from pipeline.cfm_vc.data.held_out import KNOWN, blocks
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.data.cells import Cells, concatenate
from pipeline.data.expression import median_library_size
from pipeline.data.groups import group_samples
from pipeline.data.store import Store

CELLS_PER_TYPE = 512  # enough for a mean, and a few MB for a thousand genes
COVARIATES = ("perturbation", "cell_type", "batch")
_DESCRIBED, _CELLS = "controls.json", "cells.safetensors"
ARRAYS = ("indptr", "indices", "counts", *COVARIATES, "library_size")


@dataclass(frozen=True)
class Controls:
    """Training controls of every cell type, and the meaning of their codes."""

    cells: Cells
    genes: list[str]  # (G,)
    categories: dict[str, list[str]]
    control: str
    target: float  # library size that expression is normalised to: median of the training controls


def sample_controls(store: Store, seed: int = 0) -> Controls:
    """At most `CELLS_PER_TYPE` training controls of every cell type; streams the store."""
    control = store.categories["perturbation"].index(store.control)
    groups = [(cell_type, control) for cell_type in range(len(store.categories["cell_type"]))]
    sizes = [block.library_size[block.perturbation == control] for block in blocks(store, KNOWN)]
    cells = concatenate(list(group_samples(blocks(store, KNOWN), groups, CELLS_PER_TYPE, seed).values()))
    target = median_library_size(np.concatenate(sizes))
    return Controls(cells, store.genes, store.categories, store.control, target)


def save_controls(folder: Path, controls: Controls) -> None:
    folder.mkdir(parents=True)
    arrays = {name: np.ascontiguousarray(getattr(controls.cells, name)) for name in ARRAYS}
    if controls.cells.spatial is not None:
        arrays["spatial"] = np.ascontiguousarray(controls.cells.spatial)
    safetensors.numpy.save_file(arrays, folder / _CELLS)
    described = {
        "cells": controls.cells.names.tolist(),
        "genes": controls.genes,
        "categories": controls.categories,
        "control": controls.control,
        "target": controls.target,
    }
    write_sealed(folder / _DESCRIBED, described, _CELLS)


def load_controls(folder: Path) -> Controls:
    """Read the files of `save_controls`; ExpectedError if one is missing or damaged."""
    try:
        described = read_sealed(folder / _DESCRIBED, _CELLS)
    except (FileNotFoundError, ValueError) as error:
        raise ExpectedError(f"no usable controls in {folder}: {error}; register the model again") from error
    arrays = safetensors.numpy.load_file(folder / _CELLS)
    names = np.array(described["cells"], dtype=object)
    covariates = {name: arrays.pop(name) for name in COVARIATES}
    cells = Cells(genes=len(described["genes"]), names=names, covariates=covariates, **arrays)
    return Controls(cells, described["genes"], described["categories"], described["control"], described["target"])
