"""Integration of an ordinary differential equation dz/dt = field(z, t) from t = 0 to 1 with fixed steps.

B: cells, D: latent dimensions.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError

Field = Callable[[Tensor, Tensor], Tensor]  # (z_BD, t_B) -> velocity (B, D)
Step = Callable[[Field, Tensor, Tensor, float], Tensor]  # (field, z_BD, t_B, h) -> velocity of the whole step (B, D)


def _euler(field: Field, z_BD: Tensor, t_B: Tensor, _h: float) -> Tensor:
    return field(z_BD, t_B)


def _midpoint(field: Field, z_BD: Tensor, t_B: Tensor, h: float) -> Tensor:
    return field(z_BD + h / 2 * field(z_BD, t_B), t_B + h / 2)


def _rk4(field: Field, z_BD: Tensor, t_B: Tensor, h: float) -> Tensor:
    k1 = field(z_BD, t_B)
    k2 = field(z_BD + h / 2 * k1, t_B + h / 2)
    k3 = field(z_BD + h / 2 * k2, t_B + h / 2)
    k4 = field(z_BD + h * k3, t_B + h)
    return (k1 + 2 * k2 + 2 * k3 + k4) / 6


METHODS: dict[str, Step] = {"euler": _euler, "midpoint": _midpoint, "rk4": _rk4}


def integrate(
    field: Field, z0_BD: Tensor, steps: int, method: str = "euler", names: Sequence[str] | None = None
) -> Tensor:
    """z at t = 1, (B, D), from z0 at t = 0.

    names: names of the cells, for messages. ExpectedError, with step, cells and likely cause, if a value is not finite;
    nothing is replaced.
    """
    velocity = METHODS[method]
    z_BD, h = z0_BD, 1 / steps
    _check(z_BD, "the starting latents", "the control cells or their latents are not finite", names)
    for step in range(steps):
        t_B = torch.full((len(z_BD),), step * h, device=z_BD.device, dtype=z_BD.dtype)
        z_BD = z_BD + h * velocity(field, z_BD, t_B, h)
        _check(
            z_BD,
            f"step {step + 1} of {steps} of the {method} solver",
            "the weights are not finite, or the field is too steep for the step size: train with a lower learning "
            "rate or a smaller gradient_clip, or integrate with more steps",
            names,
        )
    return z_BD


def _check(z_BD: Tensor, where: str, cause: str, names: Sequence[str] | None) -> None:
    finite_B = torch.isfinite(z_BD).all(dim=1)
    if bool(finite_B.all()):
        return
    rows = torch.nonzero(~finite_B).flatten().tolist()
    shown = [names[row] if names is not None else f"row {row}" for row in rows[:5]]
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    raise ExpectedError(
        f"a latent is not finite at {where}, in {len(rows)} of {len(z_BD)} cells ({', '.join(shown)}{more}); "
        f"likely cause: {cause}"
    )
