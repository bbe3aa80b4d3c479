"""What a trained model says of a perturbation's effect on mean expression: a table of genes by cell type."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cfm_vc.data.dose_request import DoseRequest, doses_asked
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.trained import CfmVc

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["cell_type", "gene", "control", "change", "low", "high", "deviation", "effect"]


def effect_table(
    model: CfmVc, perturbation: str, dose: DoseRequest, cell_types: Iterable[str], solution: Solution
) -> "pd.DataFrame":
    """A row for each of these cell types that the model has controls of, and gene: mean log-normalised expression of
    the controls, its predicted change, the bounds of the change's 90 % interval, from that mean to the true one of
    treated cells (empty where it is not known: fewer than two contexts to learn it from, or a dose smaller or larger
    than all measured ones), its standard deviation
    over the members of an ensemble (empty without), and the effect: the change without what is expected to be noise of
    the controls' mean, by what all perturbations of the cell type have in common. Without an effect (the control) there
    are no rows. ExpectedError for an unknown treatment.
    """
    import pandas as pd

    p_P, contexts = model.doses.vector(doses_asked(model.doses, perturbation, dose)), model.contexts
    effects, parts = model.effects(solution), []
    for name in sorted(set(cell_types) & set(model.cell_types)):
        code = model.cell_types.index(name)
        effect = effects.of(code, p_P)
        if effect is None:
            continue
        unknown_G = np.full(len(contexts.genes), np.nan)
        half_G = unknown_G if effect.interval is None else effect.interval.half_width_G()
        deviation_G = unknown_G if effect.deviation_G is None else effect.deviation_G
        control_G = contexts.means[code, contexts.control_code]
        columns = {"control": control_G, "change": effect.change_G}
        bounds = {"low": np.maximum(effect.change_G - half_G, -control_G), "high": effect.change_G + half_G}
        columns |= bounds | {"deviation": deviation_G, "effect": effect.change_G - effect.noise_G}
        parts.append(pd.DataFrame({"cell_type": name, "gene": contexts.genes, **columns}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=COLUMNS)
