"""Tables behind the report's figures of held-out groups.

B: cells; G: genes; I: dimensions of z_int.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.cfm_vc.data.held_out import HeldOutGroup
from pipeline.cfm_vc.metrics.components import Components, principal_components
from pipeline.data.cells import Cells
from pipeline.data.expression import log_normalise
from pipeline.data.store import Store

Expression = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


def group_names(store: Store, group: HeldOutGroup) -> tuple[str, str]:
    """Labels of its cell type and its perturbation."""
    return store.categories["cell_type"][group.cell_type], store.categories["perturbation"][group.perturbation]


def expression_of(cells: Cells, target: float) -> Expression:
    """Log-normalised expression, (B, G)."""
    return log_normalise(cells.dense(slice(None)), cells.library_size, target)


def change_table(
    store: Store, group: HeldOutGroup, method: str, true_G: Array, predicted_G: Array, rank_G: npt.NDArray[np.int64]
) -> pa.Table:
    """True and predicted change of every gene, and its rank by differential expression."""
    genes = {"gene": store.genes, "method": [method] * len(store.genes)}
    changes = {"change_true": true_G, "change_predicted": predicted_G, "de_rank": rank_G}
    return _of_group(store, group, {**genes, **changes})


def population_table(
    store: Store, group: HeldOutGroup, components: Components, origins: Mapping[str, Expression]
) -> pa.Table:
    """Each population in the first two principal components of the true and control cells."""
    xy = np.concatenate([_xy(components.project(expression_BG)) for expression_BG in origins.values()])
    origin = [name for name, expression_BG in origins.items() for _ in range(len(expression_BG))]
    return _of_group(store, group, {"origin": origin, "x": xy[:, 0], "y": xy[:, 1]})


def latent_table(store: Store, cells: Cells, expression_BG: Expression, int_BI: Expression) -> pa.Table:
    """The cells in two principal components of expression (before) and of z_int (after encoding)."""
    tables = []
    for space, x_BD in {"expression": expression_BG, "z_int": int_BI}.items():
        xy = _xy(principal_components(x_BD, 2).project(x_BD))
        labels = {
            covariate: [store.categories[covariate][code] for code in getattr(cells, covariate)]
            for covariate in ("cell_type", "batch", "perturbation")
        }
        columns = {"cell": list(cells.names), **labels, "space": [space] * len(cells), "x": xy[:, 0], "y": xy[:, 1]}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _xy(projected_BK: Array) -> Array:
    """The first two columns; the second is zero if there is only one."""
    return np.pad(projected_BK[:, :2], ((0, 0), (0, 2 - min(2, projected_BK.shape[1]))))


def _of_group(store: Store, group: HeldOutGroup, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    cell_type, perturbation = group_names(store, group)
    return pa.table({"cell_type": [cell_type] * rows, "perturbation": [perturbation] * rows, **columns})
