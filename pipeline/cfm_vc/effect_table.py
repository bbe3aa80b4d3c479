"""What a trained model says of a perturbation's effect on mean expression: a table of genes by cell type."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cfm_vc.data.dose_request import DoseRequest, doses_asked
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.trained import CfmVc

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["cell_type", "gene", "control", "change", "low", "high"]


def effect_table(
    model: CfmVc, perturbation: str, dose: DoseRequest, cell_types: Iterable[str], solution: Solution
) -> "pd.DataFrame":
    """A row for each of these cell types that the model has controls of, and gene: mean log-normalised expression of
    the controls, its predicted change, and the bounds of the change's 90 % interval (empty where it is not known: fewer
    than two contexts to learn it from). Without an effect (the control) there are no rows. ExpectedError for an unknown
    treatment.
    """
    import pandas as pd

    p_P, contexts = model.doses.vector(doses_asked(model.doses, perturbation, dose)), model.contexts
    effects, parts = model.effects(solution), []
    for name in sorted(set(cell_types) & set(model.cell_types)):
        code = model.cell_types.index(name)
        effect = effects.of(code, p_P)
        if effect is None:
            continue
        half_G = np.full(len(contexts.genes), np.nan) if effect.half_width_G is None else effect.half_width_G
        control_G = contexts.means[code, contexts.control_code]
        columns = {"control": control_G, "change": effect.change_G}
        bounds = {"low": np.maximum(effect.change_G - half_G, -control_G), "high": effect.change_G + half_G}
        parts.append(pd.DataFrame({"cell_type": name, "gene": contexts.genes, **columns, **bounds}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=COLUMNS)
