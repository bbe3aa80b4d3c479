"""How far apart two latents are in expression: the coordinates that the flow works in.

The prior of z_int makes all its dimensions one size, whatever they do to the cell: what tells two kinds of T cell apart
is as long as what tells a T cell from a monocyte. A network that is smooth in such a space takes near types for far
ones, and guesses where it should have looked next door; optimal transport pairs by the wrong distance. So the flow sees
z_int in coordinates where distance is change of expression, to first order: the pull-back metric of the decoder
(Arvanitidis et al., "Latent space oddity", 2018), here one metric for the whole space.

D: dimensions of z_int, G: genes.
"""

import torch
from torch import Tensor

from pipeline.models.vae import Vae

_LEAST = 0.01  # of the largest stretch: a dimension that the decoder ignores keeps a way back


@torch.no_grad()
def expression_metric(vae: Vae) -> Tensor:
    """A with y = A z, (D, D): |A Δz| is proportional to the change of log1p expression that Δz makes.

    Each dimension is stepped along from −1 to 1, one standard deviation of its prior either way, at the mean of all
    else; J (G, D) is half the change of log1p of the mean counts at `normalised_total` per cell. Then A'A = J'J, up to
    one factor, which makes the mean square of A's stretches 1; no stretch is less than a hundredth of the largest.
    """
    dimensions = vae.arguments["latent_intrinsic"]
    step_DD = torch.eye(dimensions, device=vae.log_theta_G.device)
    tech_DT = step_DD.new_zeros(dimensions, vae.arguments["latent_technical"])
    library_D = step_DD.new_full((dimensions,), vae.normalised_total)
    up_DG, down_DG = (vae.decode(sign * step_DD, tech_DT, library_D).exp().log1p() for sign in (1, -1))
    j_DG = ((up_DG - down_DG) / 2).double()
    square_D, axes_DD = torch.linalg.eigh(j_DG @ j_DG.T)
    stretch_D = square_D.clamp(min=0).sqrt()
    if not float(stretch_D[-1]) > 0:  # a decoder that does nothing yet
        return step_DD
    stretch_D = stretch_D.clamp(min=_LEAST * float(stretch_D[-1]))
    stretch_D /= stretch_D.square().mean().sqrt()
    metric_DD: Tensor = stretch_D[:, None] * axes_DD.T
    return metric_DD.float()
