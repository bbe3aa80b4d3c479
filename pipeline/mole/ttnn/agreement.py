"""How close a program in a coarser data type comes to the model in float32.

B: windows, C: channels, R = B C, H: rows of the horizon, E: experts.
"""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from pipeline.metrics.perturbation import pearson

TARGETS = {"bfloat16": 0.999, "bfloat8_b": 0.99}  # of the correlation, of outputs and router weights


class Reference(NamedTuple):
    """What the model says in float32, and what came to pass."""

    y_RH: Tensor
    weight_RE: Tensor | None
    truth_RH: Tensor

    @property
    def mse(self) -> float:
        """In the scaled space of the protocol, over all rows and channels."""
        return mean_squared_error(self.y_RH, self.truth_RH)


def mean_squared_error(y_RH: Tensor, truth_RH: Tensor) -> float:
    """Over everything, summed in float64."""
    return float((y_RH.double() - truth_RH.double()).square().mean())


def correlation(a: Tensor, b: Tensor) -> float | None:
    """Pearson's, of all values; None where one of them does not vary, so that there is none."""
    rows = [value.double().numpy().reshape(1, -1) for value in (a, b)]
    if any(np.ptp(row) == 0 for row in rows):
        return None
    return float(pearson(*rows)[0])


def agreement(reference: Reference, outputs: dict[str, Tensor], place: str, data_type: str) -> dict[str, Any]:
    """The correlations, the error and its change; `place`: where in `outputs` this program's are.

    `met` says whether all correlations that there are reach the data type's target.
    """
    y_RH = outputs[f"{place}/y_RH"]
    pcc_outputs = correlation(y_RH, reference.y_RH)
    mse = mean_squared_error(y_RH, reference.truth_RH)
    if reference.weight_RE is None:
        router, pcc_router = "not measured: one expert has no router", None
    else:
        router, pcc_router = "not measured: router weights do not vary", None
        pcc_router = correlation(outputs[f"{place}/weight_RE"], reference.weight_RE)
    found = [pcc for pcc in (pcc_outputs, pcc_router) if pcc is not None]
    target = TARGETS[data_type]
    return {
        "pcc_outputs": "not measured: outputs do not vary" if pcc_outputs is None else pcc_outputs,
        "pcc_router": router if pcc_router is None else pcc_router,
        "mse": mse,
        "mse_change": mse - reference.mse,
        "target_pcc": target,
        "met": bool(found) and min(found) >= target,
    }
