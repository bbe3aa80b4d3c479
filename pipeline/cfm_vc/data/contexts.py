"""What a model keeps of the contexts that it was trained on, beside its weights: safetensors and JSON, no pickle.

A context is a cell type. N: control cells, R: training groups, G: genes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from pipeline.cfm_vc.data.groups import Group, Moments, group_moments, group_samples
from pipeline.cfm_vc.data.held_out import KNOWN, blocks
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.data.cells import Cells, concatenate
from pipeline.data.doses import Doses
from pipeline.data.expression import median_library_size
from pipeline.data.store import Store

CELLS_PER_TYPE = 512  # enough for a mean, and a few MB for a thousand genes
COVARIATES = ("perturbation", "cell_type", "batch")
_DESCRIBED, _ARRAYS = "contexts.json", "contexts.safetensors"
ARRAYS = ("indptr", "indices", "counts", *COVARIATES, "library_size")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How the flow's change of mean expression becomes the prediction: multiplied by `size`, and averaged with the
    closed-form prior, which has the weight `prior_weight` (0 to 1)."""

    size: float
    prior_weight: float


@dataclass(frozen=True)
class Contexts:
    """Training controls of every cell type, what was measured in every training group, and the meaning of the codes."""

    cells: Cells
    means: dict[Group, Array]  # mean log-normalised expression (G,) of every training group, controls included
    noise: dict[Group, Array]  # variance (G,) of each of these means, by the sampling of cells
    genes: list[str]  # (G,)
    categories: dict[str, list[str]]
    control: str
    target: float  # library size that expression is normalised to: median of the training controls
    doses: dict[str, dict[str, float]]  # of each label, see `Doses`
    calibration: Calibration

    @property
    def control_code(self) -> int:
        return self.categories["perturbation"].index(self.control)

    @property
    def doses_CP(self) -> npt.NDArray[np.float32]:
        """The vector of doses of each perturbation code."""
        return Doses(self.doses).matrix(self.categories["perturbation"])


def read_contexts(store: Store, calibration: Calibration) -> tuple[Contexts, dict[Group, Moments]]:
    """Of a store: at most `CELLS_PER_TYPE` controls of every cell type, and the moments of every training group.

    Streams the store three times.
    """
    control = store.categories["perturbation"].index(store.control)
    sizes = [block.library_size[block.perturbation == control] for block in blocks(store, KNOWN, named=False)]
    target = median_library_size(np.concatenate(sizes))
    moments = group_moments(blocks(store, KNOWN, named=False), target)
    groups = [(cell_type, control) for cell_type in range(len(store.categories["cell_type"]))]
    cells = concatenate(list(group_samples(blocks(store, KNOWN), groups, CELLS_PER_TYPE, 0).values()))
    means = {group: of.mean_G for group, of in moments.items()}
    noise = {group: of.noise_G for group, of in moments.items()}
    doses = {label: dict(of) for label, of in store.doses.of_label.items()}
    described = (store.genes, store.categories, store.control, target, doses, calibration)
    return Contexts(cells, means, noise, *described), moments


def save_contexts(folder: Path, contexts: Contexts) -> None:
    """Write the two files of a folder atomically."""
    cells, described = contexts.cells, vars(contexts) | {"cells": contexts.cells.names.tolist()}
    arrays: dict[str, npt.NDArray[Any]] = {name: np.ascontiguousarray(getattr(cells, name)) for name in ARRAYS}
    if cells.spatial is not None:
        arrays["spatial"] = np.ascontiguousarray(cells.spatial)
    arrays["group_R2"] = np.array(list(contexts.means))
    for name in ("means", "noise"):
        arrays[f"{name}_RG"] = np.stack([described[name][group] for group in contexts.means])
        del described[name]
    with atomic_folder(folder) as partial:
        safetensors.numpy.save_file(arrays, partial / _ARRAYS)
        write_sealed(partial / _DESCRIBED, described | {"calibration": vars(contexts.calibration)}, _ARRAYS)


def load_contexts(folder: Path) -> Contexts:
    """Read the files of `save_contexts`; ExpectedError if one is missing or damaged."""
    try:
        described = read_sealed(folder / _DESCRIBED, _ARRAYS)
    except (FileNotFoundError, ValueError) as error:
        raise ExpectedError(
            f"no usable contexts in {folder}: {error}; train the flow again: dvc repro --force flow_train"
        ) from error
    arrays = safetensors.numpy.load_file(folder / _ARRAYS)
    groups = [(int(cell_type), int(label)) for cell_type, label in arrays.pop("group_R2")]
    means, noise = (dict(zip(groups, arrays.pop(f"{name}_RG"), strict=True)) for name in ("means", "noise"))
    names = np.array(described["cells"], dtype=object)
    covariates = {name: arrays.pop(name) for name in COVARIATES}
    cells = Cells(genes=len(described["genes"]), names=names, covariates=covariates, **arrays)
    return Contexts(
        cells,
        means,
        noise,
        described["genes"],
        described["categories"],
        described["control"],
        described["target"],
        described["doses"],
        Calibration(**{name: described["calibration"][name] for name in ("size", "prior_weight")}),
    )
