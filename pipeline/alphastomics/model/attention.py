"""E(n)-equivariant attention among the cells of a neighbourhood.

Each head weights cells by their features and their distances, and gathers features (invariant) and vectors
(equivariant) with the same weights. Positions come centred, so that a weighted mean of them moves with a rotation or
reflection of the neighbourhood and does not see a translation. No N x N matrix is kept, whatever the kind.

B: neighbourhoods, N: cells, D: model width, H: heads, F: features of a head (D / H), S: spatial dimensions,
U: numbers in the vectors that each cell holds out to be gathered (a multiple of S).
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad, scaled_dot_product_attention, softplus

AttentionKind = Literal["softmax", "linear"]
GateKind = Literal["none", "headwise", "elementwise"]

_NEVER = -1e4  # a logit whose exponential is 0 in every float: a padded cell gets no weight at all, not a small one


class Gathered(NamedTuple):
    """What the cells gathered from each other."""

    features_BND: Tensor  # gated, before the output projection
    vectors_BNHU: Tensor  # weighted means of the vectors held out


class NeighbourhoodAttention(nn.Module):
    """Multi-head attention over (B, N, D) and positions (B, N, S).

    softmax: weights exp(q·k / sqrt F - near_h |p_i - p_j|² / 2), normalised (Vaswani et al., 2017, with a Gaussian
    kernel of distance); fused, so memory is linear in N and time quadratic. The square is spread over two more channels
    of query and key, and a term of i alone is left out, since a softmax does not see it.

    linear: weights phi(q)·phi(k) / F + near_h (p_i·p_j + 1)², normalised, phi = 1 + elu (Katharopoulos et al., 2020,
    with a polynomial kernel of position, which has a finite number of features); time and memory linear in N.

    near (B, H) is not negative: the caller lets it depend on how noisy positions are.

    gate: sigmoid(gate(x)) times the output of attention, one number per head or per channel, from the same normalised
    state as the query (Qiu et al., "Gated attention for large language models", 2025).
    """

    def __init__(self, width: int, heads: int, kind: AttentionKind = "softmax", gate: GateKind = "none") -> None:
        """ValueError where heads do not divide the width."""
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads, self.kind, self.gating = heads, kind, gate
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        gates = {"none": 0, "headwise": heads, "elementwise": width}[gate]
        self.gate = nn.Linear(width, gates, bias=False) if gates else None

    def forward(
        self, x_BND: Tensor, position_BNS: Tensor, vectors_BNU: Tensor, near_BH: Tensor, mask_BN: Tensor
    ) -> Gathered:
        """Gather; `mask` is true where there is a cell."""
        batch, cells, width = x_BND.shape
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, F)
            for part in self.query_key_value(x_BND).chunk(3, dim=-1)
        )
        attend = softmax_attention if self.kind == "softmax" else linear_attention
        values = torch.cat([value, vectors_BNU[:, None].expand(-1, self.heads, -1, -1)], dim=-1)
        gathered = attend(query, key, values, position_BNS, near_BH, mask_BN)
        channels = width // self.heads
        gathered_BHNF, vectors_BHNU = gathered[..., :channels], gathered[..., channels:]
        features = gathered_BHNF.transpose(1, 2)  # (B, N, H, F)
        if self.gate is not None:
            features = features * torch.sigmoid(self.gate(x_BND)).view(batch, cells, self.heads, -1)
        return Gathered(features.reshape(batch, cells, width), vectors_BHNU.transpose(1, 2))


def softmax_attention(
    query_BHNF: Tensor,
    key_BHNF: Tensor,
    value_BHNV: Tensor,
    position_BNS: Tensor,
    near_BH: Tensor,
    mask_BN: Tensor,
) -> Tensor:
    """Weighted means of values, (B, H, N, V); see `NeighbourhoodAttention`."""
    heads, features = query_BHNF.shape[1], query_BHNF.shape[3]
    place_BHNS = position_BNS[:, None].expand(-1, heads, -1, -1)
    scaled_BHNS = place_BHNS * near_BH.sqrt()[:, :, None, None]
    square_BHN1 = scaled_BHNS.square().sum(-1, keepdim=True)
    absent_BHN1 = torch.where(mask_BN, 0.0, _NEVER)[:, None, :, None]
    query = torch.cat([query_BHNF * features**-0.5, scaled_BHNS, torch.ones_like(square_BHN1)], dim=-1)
    key = torch.cat([key_BHNF, scaled_BHNS, absent_BHN1 - 0.5 * square_BHN1], dim=-1)
    # The fused kernels ask for queries, keys and values of one width: zeros fill up what is narrower.
    width, wanted = max(query.shape[3], value_BHNV.shape[3]), value_BHNV.shape[3]
    query, key, value = (pad(part, (0, width - part.shape[3])) for part in (query, key, value_BHNV))
    return scaled_dot_product_attention(query, key, value, scale=1.0)[..., :wanted]


def linear_attention(
    query_BHNF: Tensor,
    key_BHNF: Tensor,
    value_BHNV: Tensor,
    position_BNS: Tensor,
    near_BH: Tensor,
    mask_BN: Tensor,
) -> Tensor:
    """As `softmax_attention`, with weights that are products of features."""
    features = query_BHNF.shape[3]
    # All weights times F, which cancels: the few features of position are scaled, not those of the heads.
    polynomial = _polynomial(position_BNS)[:, None] * (features * near_BH).sqrt()[:, :, None, None]
    query = torch.cat([_phi(query_BHNF), polynomial], dim=-1)
    key = torch.cat([_phi(key_BHNF), polynomial], dim=-1)
    key = key * mask_BN[:, None, :, None]
    value = torch.cat([value_BHNV, torch.ones_like(value_BHNV[..., :1])], dim=-1)
    summed = query @ (key.transpose(-1, -2) @ value)
    return summed[..., :-1] / summed[..., -1:].clamp(min=torch.finfo(summed.dtype).tiny)


class _Phi(torch.autograd.Function):
    """1 + elu(x). Its derivative is the smaller of itself and 1, so that the gradient takes no exponential."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = elu(x).add_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        by_y: Tensor = gradient[0] * y.clamp(max=1)
        return by_y


def _phi(x: Tensor) -> Tensor:
    y: Tensor = _Phi.apply(x)  # type: ignore[no-untyped-call]
    return y


def _polynomial(position_BNS: Tensor) -> Tensor:
    """Features whose products are (p_i·p_j + 1)²: (B, N, S² + S + 1)."""
    square = (position_BNS[..., :, None] * position_BNS[..., None, :]).flatten(-2)
    return torch.cat([square, position_BNS * 2**0.5, torch.ones_like(position_BNS[..., :1])], dim=-1)


class Nearness(nn.Module):
    """The weight of distance in each head, (B, C) -> (B, H), not negative: a function of the diffusion times."""

    def __init__(self, condition: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(condition, heads)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():  # from heads that see the whole neighbourhood to heads that see a tenth of its radius
            self.linear.bias.copy_(torch.linspace(-4.0, 5.0, heads))

    def forward(self, condition_BC: Tensor) -> Tensor:
        near_BH: Tensor = softplus(self.linear(condition_BC)).square().clamp(max=400.0)
        return near_BH
