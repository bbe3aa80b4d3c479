"""The velocity field that transports z_int from unperturbed to perturbed, given the context.

B: cells, D: dimensions of z_int, P: treatments, A: dimensions of α, J: basis fields, S: spatial coordinates.

    α = (adapter · p) ⊙ gate(cell type)         bias-free, so p = 0 gives α = 0 whatever the cell type
    v = base(z, t, context) + Σ_j coefficient_j(α) · basis_j(z, t, context)

The perturbation acts only through the coefficients, and controls follow the base field bit for bit. The perturbation is
a vector of doses: one-hot for one perturbation, several non-zero entries for a combination, zero for control. A cell
type never seen under a perturbation is replaced by "unknown" there: its embedding was not trained for that
perturbation, so the effect size would be arbitrary, whereas "unknown" was trained on all cell types that received it.
The context is the batch, the cell type and, if available, the spatial position. z_tech is not transported: predicted
cells keep that of their control cell.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.nn.layers import CovariateEmbedding, Perceptron, PlaceEmbedding, sinusoidal
from pipeline.nn.model_config import ModelConfig


class Condition(NamedTuple):
    """Conditioning of the field besides z and t: the same at every solver step."""

    context_BC: Tensor  # embeddings of batch, cell type and position
    coefficient_BJ: Tensor  # of the basis fields; exactly zero for controls
    control_B: Tensor  # bool

    def guided(self, guidance: float) -> "Condition":
        """Classifier-free guidance: v(0) + guidance · (v(p) − v(0)), where 1 means no guidance.

        Ho and Salimans, "Classifier-free diffusion guidance" (2022), with the field of controls as the unconditional
        one. The field is linear in the coefficients, so guidance scales them; controls are unchanged.
        """
        return self._replace(coefficient_BJ=guidance * self.coefficient_BJ)


POSITION_EMBEDDING = 16  # dimensions of the embedding of a spatial position


class FlowConfig(ModelConfig):
    """`spatial`: number of spatial coordinates, 0 for none. The other fields are parameters of the section
    `cfm_vc.flow`, sizes of the data, and the size of z_int (`dimensions`)."""

    dimensions: int
    treatments: int
    cell_types: int
    batches: int
    hidden: list[int]
    time_embedding: int
    covariate_embedding: int
    covariate_dropout: float
    perturbation_embedding: int
    basis: int
    spatial: int = 0


class FlowField(nn.Module):
    """The field and its conditioning. A cell type or batch code at or above the number of categories is "unknown"."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        dimensions, basis, hidden, spatial = config.dimensions, config.basis, config.hidden, config.spatial
        embedding, dropout = config.covariate_embedding, config.covariate_dropout
        self.cell_type = CovariateEmbedding(config.cell_types, embedding, dropout)
        self.batch = CovariateEmbedding(config.batches, embedding, dropout)
        self.adapter = nn.Linear(config.treatments, config.perturbation_embedding, bias=False)
        self.gate = nn.Linear(embedding, config.perturbation_embedding)
        self.alpha_head = nn.Linear(config.perturbation_embedding, basis, bias=False)
        # C: cell types and "unknown". 1 for combinations absent from training, 0 elsewhere; saved with the weights.
        self.unseen_CP: Tensor
        self.register_buffer("unseen_CP", torch.zeros(config.cell_types + 1, config.treatments))
        self.place = PlaceEmbedding(spatial, POSITION_EMBEDDING, dropout) if spatial else None
        context = 2 * embedding + (POSITION_EMBEDDING if spatial else 0)
        self.trunk = Perceptron(dimensions + config.time_embedding + context, hidden)
        self.base_head = nn.Linear(hidden[-1], dimensions)
        self.basis_head = nn.Linear(hidden[-1], basis * dimensions)
        # An untrained field is zero: no effect until the data show one.
        nn.init.zeros_(self.base_head.weight)
        nn.init.zeros_(self.base_head.bias)
        nn.init.zeros_(self.alpha_head.weight)

    def remember(self, p_BP: Tensor, cell_type_B: Tensor) -> None:
        """Record under which perturbations each cell type occurs in training."""
        cell_B, perturbation_B = torch.nonzero(p_BP, as_tuple=True)
        self.unseen_CP.fill_(1.0)
        self.unseen_CP[cell_type_B[cell_B], perturbation_B] = 0.0

    def condition(
        self,
        p_BP: Tensor,
        cell_type_B: Tensor,
        batch_B: Tensor,
        place_BS: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Condition:
        """Context and coefficients; the generator is only needed in training mode (covariate dropout).

        place_BS: spatial positions, None if unknown; ignored by a field without spatial context.
        """
        cell_type_B = self._known(p_BP, cell_type_B)
        cell_type_BE = self.cell_type(cell_type_B, generator)
        batch_BE = self.batch(batch_B, generator)
        # A gate around 1 scales α by 0 to 2 per cell type; being multiplicative, it keeps α = 0 at 0.
        alpha_BA = self.adapter(p_BP) * (1 + torch.tanh(self.gate(cell_type_BE)))
        context = [batch_BE, cell_type_BE]
        if self.place is not None:
            context.append(self.place(place_BS, len(p_BP), generator))
        return Condition(torch.cat(context, dim=1), self.alpha_head(alpha_BA), (p_BP == 0).all(dim=1))

    def _known(self, p_BP: Tensor, cell_type_B: Tensor) -> Tensor:
        """Cell types, (B,), with "unknown" for those never seen under the requested perturbation."""
        unknown = self.cell_type.unknown
        cell_type_B = cell_type_B.clamp(max=unknown)
        if self.cell_type.dropout == 0:  # then "unknown" is not trained either
            return cell_type_B
        unseen_B = ((p_BP != 0) & (self.unseen_CP[cell_type_B] > 0)).any(dim=1)
        return cell_type_B.masked_fill(unseen_B, unknown)

    def heads(self, z_BD: Tensor, t_B: Tensor, context_BC: Tensor) -> tuple[Tensor, Tensor]:
        """The base field, (B, D), and the basis fields, (B, J, D)."""
        hidden_BH = self.trunk(torch.cat([z_BD, sinusoidal(t_B, self.config.time_embedding), context_BC], dim=1))
        return self.base_head(hidden_BH), self.basis_head(hidden_BH).view(-1, self.config.basis, self.config.dimensions)

    def forward(self, z_BD: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """Velocity, (B, D)."""
        base_BD, basis_BJD = self.heads(z_BD, t_B, condition.context_BC)
        change_BD = torch.einsum("bj,bjd->bd", condition.coefficient_BJ, basis_BJD)
        # The change of a control is a sum of zeros. Selected, not added: −0 + 0 is +0, a different bit pattern.
        return torch.where(condition.control_B[:, None], base_BD, base_BD + change_BD)
