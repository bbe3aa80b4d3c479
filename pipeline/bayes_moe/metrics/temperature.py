"""Temperature scaling: logits divided by one number. Guo et al., "On calibration" (2017).

N: examples, C: classes.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

_RANGE = (1e-2, 1e2)  # of a classifier without errors the best temperature is 0


def fit_temperature(logit_NC: npt.NDArray[np.float64], label_N: npt.NDArray[np.int64]) -> float:
    """The T, from 0.01 to 100, with the least negative log-likelihood of softmax(logits / T), by LBFGS in float64.

    Fit it on validation examples, never on those that are scored. ValueError where a logit is not finite.
    """
    if not np.isfinite(logit_NC).all():
        raise ValueError("a logit is not finite")
    logit, label = torch.from_numpy(np.asarray(logit_NC, np.float64)), torch.from_numpy(label_N)
    # 1/T is where the likelihood is convex.
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(logit * inverse, label)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = float(inverse.detach())
    if not math.isfinite(found) or found <= 1 / _RANGE[1]:
        return _RANGE[1]
    return max(1 / found, _RANGE[0])
