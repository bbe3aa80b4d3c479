"""The experts' networks on rows sorted by expert, with hand-written forward and backward passes.

Under autograd, the operations around the matrix products cost nearly as much as the products: adding biases and summing
their gradients, weighting, scattering and gathering slots, and gradients in newly allocated memory. Here each bias is
fused into its product and its gradient is one sum, a token gathers its K rows in one weighted sum, and gradients
overwrite buffers that are no longer needed.

N: tokens, K: experts per token, E: experts, R: rows, of all experts, D: dimensions, H: hidden, C: rows of one expert.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class Rows(NamedTuple):
    """The layout of slots: all rows of the first expert, then those of the second, and so on.

    A row without a slot computes an output for token 0 that is never gathered and has zero gradient.
    """

    token_R: Tensor  # int64: the token of each row
    place_NK: Tensor  # int64: the row of each slot; R of one that carries no token
    per_expert: list[int]  # how many rows each expert has


class FusedExperts(torch.autograd.Function):
    """Σ_k weight_k (gelu(x W_up + b_up) W_down + b_down) of each token, (N, D_out)."""

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_NK: Tensor,
        up_EDH: Tensor,
        up_bias_EH: Tensor,
        down_EHD: Tensor,
        down_bias_ED: Tensor,
        rows: Rows,
    ) -> Tensor:
        """All tensors of one dtype; a slot that carries no token has weight 0."""
        token_R, place_NK, per_expert = rows
        x_RD = x_ND.index_select(0, token_R)
        inner_RH = x_ND.new_empty(len(token_R), up_EDH.shape[2])
        products(x_RD, up_EDH, per_expert, inner_RH, up_bias_EH)
        hidden_RH = torch.nn.functional.gelu(inner_RH)
        y_RD, all_y_RD = with_a_zero_row(len(token_R), down_EHD.shape[2], x_ND)
        products(hidden_RH, down_EHD, per_expert, y_RD, down_bias_ED)
        ctx.per_expert = per_expert
        ctx.save_for_backward(x_RD, inner_RH, hidden_RH, y_RD, weight_NK, up_EDH, down_EHD, token_R, place_NK)
        return embedding_bag(place_NK, all_y_RD, mode="sum", per_sample_weights=weight_NK)

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the six tensors. RuntimeError on a second derivative."""
        # `once_differentiable` does not raise where the incoming gradient is constant: a wrong second derivative.
        if torch.is_grad_enabled():
            raise RuntimeError('no second derivative of these gradients by hand; dispatch="loop" has one')
        x_RD, inner_RH, hidden_RH, y_RD, weight_NK, up_EDH, down_EHD, token_R, place_NK = ctx.saved_tensors
        per_expert, place = ctx.per_expert, place_NK.reshape(-1)
        grad_RD = grad_ND.index_select(0, token_R)
        grad_weight_R = grad_ND.new_zeros(len(token_R) + 1)
        torch.sum(grad_RD * y_RD, 1, out=grad_weight_R[:-1])
        # Slots without a token all write their weight, 0, to the last position, which is never read.
        weight_R = grad_ND.new_zeros(len(token_R) + 1).scatter_(0, place, weight_NK.reshape(-1))[:-1]
        grad_RD *= weight_R[:, None]
        grad_down_EHD = weight_products(hidden_RH, grad_RD, per_expert)
        grad_down_bias_ED = sums(grad_RD, per_expert)
        grad_RH = torch.empty_like(inner_RH)
        products(grad_RD, down_EHD.mT, per_expert, grad_RH)
        torch.ops.aten.gelu_backward.grad_input(grad_RH, inner_RH, grad_input=grad_RH)
        grad_up_EDH = weight_products(x_RD, grad_RH, per_expert)
        grad_up_bias_EH = sums(grad_RH, per_expert)
        grad_x_RD, all_grad_x_RD = with_a_zero_row(len(token_R), x_RD.shape[1], x_RD)
        products(grad_RH, up_EDH.mT, per_expert, grad_x_RD)
        grad_x_ND = embedding_bag(place_NK, all_grad_x_RD, mode="sum")
        grad_weight_NK = grad_weight_R.index_select(0, place).view_as(weight_NK)
        return grad_x_ND, grad_weight_NK, grad_up_EDH, grad_up_bias_EH, grad_down_EHD, grad_down_bias_ED, None


def with_a_zero_row(rows: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Uninitialised (rows, width), and the same memory with an extra row of zeros, for slots without a token."""
    longer = like.new_empty(rows + 1, width)
    longer[rows] = 0
    return longer[:rows], longer


def products(
    a_RI: Tensor, weight_EIO: Tensor, per_expert: list[int], out_RO: Tensor, bias_EO: Tensor | None = None
) -> None:
    """Each expert's rows times its weights, plus its bias: one batched product where all have equally many rows."""
    if uniform(per_expert):
        batch = (len(per_expert), per_expert[0], -1)
        if bias_EO is None:
            torch.bmm(a_RI.view(batch), weight_EIO, out=out_RO.view(batch))
        else:
            torch.baddbmm(bias_EO[:, None], a_RI.view(batch), weight_EIO, out=out_RO.view(batch))
        return
    parts = zip(torch.split(a_RI, per_expert), weight_EIO, torch.split(out_RO, per_expert), strict=True)
    for expert, (a_CI, weight_IO, out_CO) in enumerate(parts):
        if bias_EO is None:
            torch.mm(a_CI, weight_IO, out=out_CO)
        else:
            torch.addmm(bias_EO[expert], a_CI, weight_IO, out=out_CO)


def weight_products(a_RI: Tensor, grad_RO: Tensor, per_expert: list[int]) -> Tensor:
    """Gradient of each expert's weights, (E, I, O): its rows, transposed, times the gradients of their products."""
    if uniform(per_expert):
        batch = (len(per_expert), per_expert[0], -1)
        return torch.bmm(a_RI.view(batch).mT, grad_RO.view(batch))
    out_EIO = a_RI.new_empty(len(per_expert), a_RI.shape[1], grad_RO.shape[1])
    for a_CI, grad_CO, out_IO in zip(
        torch.split(a_RI, per_expert), torch.split(grad_RO, per_expert), out_EIO, strict=True
    ):
        torch.mm(a_CI.T, grad_CO, out=out_IO)
    return out_EIO


def sums(grad_RO: Tensor, per_expert: list[int]) -> Tensor:
    """Gradient of each expert's bias, (E, O): the sum over its rows."""
    if uniform(per_expert):
        return grad_RO.view(len(per_expert), per_expert[0], -1).sum(1)
    return torch.stack([part.sum(0) for part in torch.split(grad_RO, per_expert)])


def uniform(per_expert: list[int]) -> bool:
    """Whether all experts have equally many rows, at least one."""
    return min(per_expert) == max(per_expert) > 0
