"""Predicted cells: control cells transported by the flow and decoded.

B: cells, G: genes, I: dimensions of z_int, T: of z_tech, P: treatments, S: spatial coordinates.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.ode import integrate
from pipeline.cfm_vc.model.vae import Vae
from pipeline.nn.distributions import sample_counterfactual, sample_gaussian, sample_negative_binomial

Source = Literal["control", "noise"]


class Generated(NamedTuple):
    """Latents and log means of generated cells; `vae.log_theta_G` completes the count distribution."""

    own_BI: Tensor  # z_int of the control cells: the start of the flow, unless that is noise
    int_BI: Tensor
    tech_BT: Tensor
    log_mean_BG: Tensor


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
    sampled: bool = True,
    place_BS: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> Generated:
    """Predict control cells, given as counts, under the doses p (see `pipeline.data.doses`).

    Both models in eval mode. With source `control` the flow starts from the cell's own z_int: a posterior sample or,
    unless `sampled`, the posterior mean (meant for single cells: a population of means is too narrow). With `noise` it
    starts from N(0, I). Either way the cell keeps its z_tech (posterior mean) and library size. `guidance`: see
    `Condition.guided`; `place_BS`: spatial positions, if known. ExpectedError if the ODE yields a value that is not
    finite.
    """
    posterior = vae.encode(x_BG, cell_type_B, batch_B)
    own_BI = posterior.int_mean_BI
    if sampled:
        own_BI = sample_gaussian(own_BI, posterior.int_log_variance_BI, generator)
    start_BI = own_BI
    if source == "noise":
        start_BI = torch.randn(start_BI.shape, generator=generator, device=start_BI.device)
    condition = field.condition(p_BP, cell_type_B, batch_B, place_BS).guided(guidance)
    int_BI = integrate(lambda z_BD, t_B: field(z_BD, t_B, condition), start_BI, steps, method, names)
    tech_BT = posterior.tech_mean_BT
    return Generated(own_BI, int_BI, tech_BT, vae.decode(int_BI, tech_BT, x_BG.sum(dim=1)))


@torch.no_grad()
def sample_counts(
    vae: Vae, generated: Generated, x_BG: Tensor, source: Source, generator: torch.Generator, draws: int = 1
) -> Iterator[Tensor]:
    """Counts of the generated cells, (B, G), `draws` times. With source `control` the control cell's counts x are
    adjusted by the change of its mean; with `noise` the cell is new.
    """
    log_theta_G = vae.log_theta_G.detach()
    if source == "noise":
        for _ in range(draws):
            yield sample_negative_binomial(generated.log_mean_BG, log_theta_G, generator)
        return
    own_log_mean_BG = vae.decode(generated.own_BI, generated.tech_BT, x_BG.sum(dim=1))
    for _ in range(draws):
        yield sample_counterfactual(x_BG, own_log_mean_BG, generated.log_mean_BG, log_theta_G, generator)
