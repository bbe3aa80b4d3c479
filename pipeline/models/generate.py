"""Predicted cells: control cells carried along the flow and decoded.

B: cells, G: genes, I: dimensions of z_int, T: of z_tech, P: treatments, S: spatial coordinates.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pipeline.models.flow import FlowField
from pipeline.models.vae import Vae
from pipeline.nn.distributions import sample_counterfactual, sample_gaussian, sample_negative_binomial
from pipeline.nn.ode import integrate

Source = Literal["control", "noise"]


class Generated(NamedTuple):
    """Latents and logarithms of the negative binomial's mean; with `vae.log_theta_G` they give counts."""

    int_BI: Tensor
    tech_BT: Tensor
    start_log_mean_BG: Tensor  # of the control cells, reconstructed
    log_mean_BG: Tensor  # of the generated cells


@torch.no_grad()
def generate(
    vae: Vae,
    field: FlowField,
    x_BG: Tensor,
    cell_type_B: Tensor,
    batch_B: Tensor,
    p_BP: Tensor,
    *,
    source: Source,
    steps: int,
    generator: torch.Generator,
    method: str = "euler",
    guidance: float = 1.0,
    place_BS: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> Generated:
    """What these control cells, given as counts, would look like under p (see `pipeline.data.doses`).

    Both models in eval mode. From `control` a sample of each cell's own z_int, given its counts, is carried; from
    `noise` a sample of N(0, I) takes its place. (Posterior means would be a narrower population than the cells are:
    all would respond alike.) Either way the cell keeps its z_tech (posterior mean) and its library size. `guidance`:
    see `Condition.guided`; `place_BS`: where the cells are, if known. An ODE value that is not finite is an
    ExpectedError.
    """
    posterior = vae.encode(x_BG, cell_type_B, batch_B)
    own_BI = sample_gaussian(posterior.int_mean_BI, posterior.int_log_variance_BI, generator)
    start_BI = own_BI
    if source == "noise":
        start_BI = torch.randn(start_BI.shape, generator=generator, device=start_BI.device)
    condition = field.condition(p_BP, cell_type_B, batch_B, place_BS).guided(guidance)
    int_BI = integrate(lambda z_BD, t_B: field(z_BD, t_B, condition), start_BI, steps, method, names)
    library_B = x_BG.sum(dim=1)
    return Generated(
        int_BI,
        posterior.tech_mean_BT,
        vae.decode(own_BI, posterior.tech_mean_BT, library_B),
        vae.decode(int_BI, posterior.tech_mean_BT, library_B),
    )


def sample_counts(vae: Vae, generated: Generated, x_BG: Tensor, source: Source, generator: torch.Generator) -> Tensor:
    """Counts of the generated cells, (B, G). From `control` they are the control cell's own counts x, changed by what
    its mean has changed; from `noise` the cell is a new one.
    """
    log_theta_G = vae.log_theta_G.detach()
    if source == "noise":
        return sample_negative_binomial(generated.log_mean_BG, log_theta_G, generator)
    return sample_counterfactual(x_BG, generated.start_log_mean_BG, generated.log_mean_BG, log_theta_G, generator)
