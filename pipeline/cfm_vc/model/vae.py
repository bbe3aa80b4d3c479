"""A variational autoencoder of counts with two latents: z_int, the cell's biology, and z_tech, its batch.

B: cells, G: genes, I: dimensions of z_int, T: dimensions of z_tech, H: hidden width.

What separates the two, since a decoder alone has no reason to:

- z_tech has a prior per batch, N(m(batch), I), so encoding the batch is free in z_tech but costs KL in z_int, whose
  prior is N(0, I) (as in DIVA: Ilse et al., 2020). With a single prior z_tech stayed empty on the embedded data, and
  the ELBO was two nats per cell worse.
- In training, a cell is decoded with the z_tech of *another random cell of its batch*. So z_tech cannot carry what is
  specific to a cell (its type, its response), only what the batch shares (grouped latents: Bouchacourt et al.,
  "Multi-level VAE", 2018).
- Only z_tech is conditioned on the batch, and only z_int on the cell type. (Conditioning z_int on the batch as well
  left more of the batch in z_int, at the same ELBO.)

The decoder is linear in the latents up to its link, as in LDVAE (Svensson et al., 2020), plus an MLP if
`decoder_hidden` has widths. So a latent shift changes a gene's linear predictor u equally in all cells, and effects add
up in unseen combinations, as the task requires. The link maps u to expression:

- `exponential`, e^u: shifts are log fold changes. A gene with ten times the expression in one cell type is expected to
  respond ten times as much.
- `softplus`, s log(1 + e^u) with a scale s per gene: multiplicative at low expression, additive at high expression.
  Interferon-induced genes respond like this in monocytes, which express some of them before treatment.

Sequencing depth enters neither latent: the encoder sees proportions, and the decoder's mean is a share of the library
size. z_tech is inferred from counts and batch, so that an unseen batch ("unknown") has one too.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.cfm_vc.model.count_likelihood import log_likelihood_of_shares
from pipeline.cfm_vc.model.energy_distance import energy_distance_between
from pipeline.cfm_vc.model.log_softplus import log_softplus
from pipeline.nn.distributions import kl_to_standard_normal, sample_gaussian
from pipeline.nn.layers import CovariateEmbedding, Perceptron
from pipeline.nn.model_config import ModelConfig
from pipeline.nn.share import everywhere, whole_of

LOG_VARIANCE_RANGE = (-10.0, 10.0)
SOFTPLUS_START = -2.0  # initial u of every gene: near the bend, on the exponential side


class Posterior(NamedTuple):
    """Diagonal Gaussians q(z_int | x, cell type) and q(z_tech | x, batch), and z_tech's prior N(m(batch), I)."""

    int_mean_BI: Tensor
    int_log_variance_BI: Tensor
    tech_mean_BT: Tensor
    tech_log_variance_BT: Tensor
    tech_prior_BT: Tensor  # m(batch)


class VaeConfig(ModelConfig):
    """`normalised_total`: library size (counts) to which cells are scaled before log1p, such as the median of the
    training cells. The other fields are parameters of the section `cfm_vc.vae` and sizes of the data."""

    genes: int
    cell_types: int
    batches: int
    latent_intrinsic: int
    latent_technical: int
    hidden: list[int]
    decoder_hidden: list[int]
    decoder_link: Literal["exponential", "softplus"]
    covariate_embedding: int
    covariate_dropout: float
    normalised_total: float


class Vae(nn.Module):
    """Encoder of counts and decoder to the mean of a negative binomial, with one inverse dispersion per gene.

    A cell type or batch code at or above the number of categories means "unknown".
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        genes, hidden, decoder_hidden = config.genes, config.hidden, config.decoder_hidden
        latents = config.latent_intrinsic + config.latent_technical
        embedding, dropout = config.covariate_embedding, config.covariate_dropout
        self.cell_type = CovariateEmbedding(config.cell_types, embedding, dropout)
        self.batch = CovariateEmbedding(config.batches, embedding, dropout)
        self.encoder = Perceptron(genes, hidden)
        self.int_head = nn.Linear(hidden[-1] + embedding, 2 * config.latent_intrinsic)
        self.tech_head = nn.Linear(hidden[-1] + embedding, 2 * config.latent_technical)
        self.tech_prior = nn.Linear(embedding, config.latent_technical)
        self.linear_decoder = nn.Linear(latents, genes)
        self.decoder = Perceptron(latents, decoder_hidden)
        self.decoder_head = nn.Linear(decoder_hidden[-1], genes, bias=False) if decoder_hidden else None
        self.log_scale_G = nn.Parameter(torch.zeros(genes)) if config.decoder_link == "softplus" else None
        self.log_theta_G = nn.Parameter(torch.zeros(genes))

    def start_from(self, log_share_G: Tensor, log_theta_G: Tensor) -> None:
        """Initialise with the marginal model of the counts, so that training only has to learn differences between
        cells."""
        with torch.no_grad():
            if self.log_scale_G is None:
                self.linear_decoder.bias.copy_(log_share_G)
            else:
                start_G = torch.full_like(log_share_G, SOFTPLUS_START)
                self.linear_decoder.bias.copy_(start_G)
                self.log_scale_G.copy_(log_share_G - log_softplus(start_G))
            self.log_theta_G.copy_(log_theta_G)

    def encode(
        self, x_BG: Tensor, cell_type_B: Tensor, batch_B: Tensor, generator: torch.Generator | None = None
    ) -> Posterior:
        """Posterior of both latents from counts. The generator is only needed in training mode (covariate dropout).

        A cell without counts is encoded as all zeros.
        """
        library_B1 = x_BG.sum(dim=1, keepdim=True).clamp(min=1.0)
        normalised_BG = torch.log1p(x_BG * (self.config.normalised_total / library_B1))
        return self.encode_normalised(normalised_BG, cell_type_B, batch_B, generator)

    def encode_normalised(
        self, normalised_BG: Tensor, cell_type_B: Tensor, batch_B: Tensor, generator: torch.Generator | None = None
    ) -> Posterior:
        """As `encode`, from log-normalised counts, the output of `normalised`."""
        hidden_BH = self.encoder(normalised_BG)
        batch_BE = self.batch(batch_B, generator)
        int_B = self.int_head(torch.cat([hidden_BH, self.cell_type(cell_type_B, generator)], dim=1))
        tech_B = self.tech_head(torch.cat([hidden_BH, batch_BE], dim=1))
        int_mean_BI, int_log_variance_BI = int_B.chunk(2, dim=1)
        tech_shift_BT, tech_log_variance_BT = tech_B.chunk(2, dim=1)
        tech_prior_BT = self.tech_prior(batch_BE)
        return Posterior(
            int_mean_BI,
            int_log_variance_BI.clamp(*LOG_VARIANCE_RANGE),
            tech_prior_BT + tech_shift_BT,
            tech_log_variance_BT.clamp(*LOG_VARIANCE_RANGE),
            tech_prior_BT,
        )

    def normalised(self, batch: CountBatch) -> Tensor:
        """log1p of counts scaled to `normalised_total` per cell, (B, G). Only non-zero counts cost a logarithm."""
        library_K = batch.library_B.clamp(min=1.0).index_select(0, batch.cell_K)
        genes = self.log_theta_G.shape[0]
        place_K = torch.add(batch.gene_K, batch.cell_K, alpha=genes)
        values_K = torch.log1p(batch.x_K / library_K * self.config.normalised_total)
        flat = torch.zeros(len(batch) * genes, device=values_K.device)
        return flat.index_copy_(0, place_K, values_K).view(-1, genes)

    def decode(self, int_BI: Tensor, tech_BT: Tensor, library_B: Tensor) -> Tensor:
        """Logarithm of the mean counts, (B, G): the means of a cell add up to its library size (counts, at least 1)."""
        return torch.log_softmax(self.logits(int_BI, tech_BT), dim=1) + library_B.clamp(min=1.0).log()[:, None]

    def logits(self, int_BI: Tensor, tech_BT: Tensor) -> Tensor:
        """Logits of the shares of the library size (softmax over genes), (B, G)."""
        latent_BL = torch.cat([int_BI, tech_BT], dim=1)
        u_BG: Tensor = self.linear_decoder(latent_BL)
        if self.decoder_head is not None:
            u_BG = torch.addmm(u_BG, self.decoder(latent_BL), self.decoder_head.weight.t())
        return u_BG if self.log_scale_G is None else log_softplus(u_BG) + self.log_scale_G


class VaeObjective(nn.Module):
    """The negative ELBO of a minibatch: −E[log p(x|z)] + β (KL_int + KL_tech), summed over genes, mean over cells."""

    def __init__(self, model: Vae, kl_weight: float, batch_weight: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.kl_weight = kl_weight
        self.batch_weight = batch_weight if model.config.batches > 1 else 0.0  # one batch has none to differ from

    def forward(self, batch: CountBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss` and its parts, in nats per cell; `reconstruction` is −E[log p(x|z)] from one sample of z."""
        normalised_BG = self.model.normalised(batch)
        posterior = self.model.encode_normalised(normalised_BG, batch.cell_type_B, batch.batch_B, generator)
        int_BI = sample_gaussian(posterior.int_mean_BI, posterior.int_log_variance_BI, generator)
        tech_BT = sample_gaussian(posterior.tech_mean_BT, posterior.tech_log_variance_BT, generator)
        ((all_tech_BT, mean_BI), own), whole = everywhere(tech_BT, posterior.int_mean_BI), whole_of(batch)
        tech_BT = all_tech_BT.index_select(0, shuffle_within(whole.batch_B, generator)[own])
        log_likelihood_B = log_likelihood_of_shares(
            self.model.logits(int_BI, tech_BT),
            batch.library_B.clamp(min=1.0),
            self.model.log_theta_G,
            batch.x_K,
            batch.cell_K,
            batch.gene_K,
        )
        kl_int = kl_to_standard_normal(posterior.int_mean_BI, posterior.int_log_variance_BI).mean()
        tech_shift_BT = posterior.tech_mean_BT - posterior.tech_prior_BT
        kl_tech = kl_to_standard_normal(tech_shift_BT, posterior.tech_log_variance_BT).mean()
        reconstruction = -log_likelihood_B.mean()
        parts = {"reconstruction": reconstruction, "kl_int": kl_int, "kl_tech": kl_tech}
        loss = reconstruction + self.kl_weight * (kl_int + kl_tech)
        if self.batch_weight > 0:
            # Cells of one type and perturbation differ between batches for technical reasons only.
            group_B = whole.cell_type_B * (whole.perturbation_B.max() + 1) + whole.perturbation_B
            parts["batch"] = energy_distance_between(mean_BI, group_B, whole.batch_B)
            loss = loss + self.batch_weight * parts["batch"]
        return {"loss": loss, **parts}


def shuffle_within(group_B: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation, (B,) int64, that permutes elements within groups."""
    chance_B = torch.rand(group_B.shape, generator=generator, device=group_B.device)
    from_B = torch.argsort(group_B, stable=True)
    by_chance_B = torch.argsort(chance_B)
    to_B = by_chance_B[torch.argsort(group_B[by_chance_B], stable=True)]
    permutation_B = torch.empty_like(from_B)
    permutation_B[from_B] = to_B
    return permutation_B
