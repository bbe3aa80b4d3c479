"""What a peer may see of a fold: its training cells, control cells to start from, and which groups it is asked for.

training.h5ad   counts of all cells that are not held out, of the splits train and validation, with `obs` perturbation
                and cell_type
controls.h5ad   counts of the control cells that predictions start from: the training cells that every method gets
asked.json      the control's label, counts per cell after normalisation, the store's identity, and the groups: those
                held out and, to see whether a peer has learned at all, some that it trains on

None of the held-out cells is among them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from pipeline.cfm_vc.data.groups import Group, group_samples
from pipeline.cfm_vc.data.held_out import KNOWN, HeldOut, blocks
from pipeline.data.cells import Cells, concatenate
from pipeline.data.store import Store

CHECKED = 4  # at most so many training groups are predicted as well


@dataclass(frozen=True)
class Asked:
    """The groups that a peer predicts, as codes of cell type and perturbation."""

    held_out: list[Group]
    trained: list[Group]

    @property
    def groups(self) -> list[Group]:
        """All of them, in the order of asked.json."""
        return self.held_out + self.trained


def export(store: Store, held_out: HeldOut, folder: Path, most: int, seed: int) -> Asked:
    """Write the three files; at most `most` control cells of each cell type, drawn as the evaluation draws them."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = Asked(
        [(group.cell_type, group.perturbation) for group in held_out.groups],
        [group for group in held_out.known if group[1] != held_out.control][:CHECKED],
    )
    training = concatenate(list(blocks(store, KNOWN)))
    refuse_held_out(training, asked.held_out)
    starts = {group.cell_type: group.control_cells for group in held_out.groups}
    others = sorted({cell_type for cell_type, _ in asked.trained} - set(starts))
    found = group_samples(blocks(store, KNOWN), [(code, held_out.control) for code in others], most, seed)
    starts |= {cell_type: cells for (cell_type, _), cells in found.items()}
    asked = Asked(asked.held_out, [group for group in asked.trained if group[0] in starts])
    write_cells(store, training, folder / "training.h5ad")
    write_cells(store, concatenate([starts[code] for code in sorted(starts)]), folder / "controls.h5ad")
    labels = [label(store, group) for group in asked.groups]
    about = {"control": store.control, "target": held_out.target, "groups": labels, "store": store.dataset["identity"]}
    (folder / "asked.json").write_text(json.dumps(about, indent=1))
    return asked


def refuse_held_out(cells: Cells, groups: list[Group]) -> None:
    """ValueError if any of these cells is of one of the groups."""
    for cell_type, perturbation in groups:
        if ((cells.cell_type == cell_type) & (cells.perturbation == perturbation)).any():
            raise ValueError("a held-out cell is among the training cells of the store")


def label(store: Store, group: Group) -> dict[str, str]:
    """The labels of a group."""
    names = ("cell_type", "perturbation")
    return {name: store.categories[name][code] for name, code in zip(names, group, strict=True)}


def write_cells(store: Store, cells: Cells, file: Path) -> None:
    """Counts, genes, cell types and perturbations, as AnnData."""
    counts = scipy.sparse.csr_matrix(
        (cells.counts.astype(np.float32), cells.indices, cells.indptr), (len(cells), cells.genes)
    )
    obs = pd.DataFrame(
        {
            name: pd.Categorical.from_codes(getattr(cells, name), store.categories[name])
            for name in ("perturbation", "cell_type")
        },
        index=pd.Index([f"cell{row}" for row in range(len(cells))]),
    )
    anndata.AnnData(counts, obs, pd.DataFrame(index=pd.Index(store.genes))).write_h5ad(file)
