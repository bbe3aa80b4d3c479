"""True effects of simulated cells, stored beside them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipeline.cfm_vc.data.groups import Group
from pipeline.data.store import Store


def simulated_effects(store: Store) -> Mapping[Group, npt.NDArray[np.float64]]:
    """The log fold changes (G,) of every group, in the store's order of genes; empty for real cells."""
    if not store.dataset["simulated"]:
        return {}
    truth = pq.read_table(store.folder / "truth.parquet").to_pandas()
    found = {}
    for (cell_type, perturbation), rows in truth.groupby(["cell_type", "perturbation"]):
        group = (
            store.categories["cell_type"].index(cell_type),
            store.categories["perturbation"].index(perturbation),
        )
        found[group] = rows.set_index("gene")["log_fold_change"].loc[store.genes].to_numpy(np.float64)
    return found
