"""The experts' networks on rows sorted by expert, with hand-written forward and backward passes.

Under autograd, the operations around the matrix products cost nearly as much as the products: adding biases and summing
their gradients, weighting, scattering and gathering slots, and gradients in newly allocated memory, whose pages are
first touched here. So each bias is fused into its product and its gradient is one sum, a token gathers its K rows in
one weighted sum, and an expert's whole pass is done before the next one's, while its rows are in the cache: gradients
of inner rows take the memory of one expert.

N: tokens, K: experts per token, E: experts, R: rows, of all experts, D: dimensions, H: hidden, C: rows of one expert.
"""

from collections.abc import Iterator
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


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass: what goes into each expert's networks, and comes out."""

    x_RD: Tensor
    inner_RH: Tensor
    hidden_RH: Tensor
    y_RD: Tensor


def mixed(
    x_ND: Tensor,
    weight_NK: Tensor,
    up_EDH: Tensor,
    up_bias_EH: Tensor,
    down_EHD: Tensor,
    down_bias_ED: Tensor,
    rows: Rows,
) -> tuple[Tensor, Saved]:
    """Σ_k weight_k (gelu(x W_up + b_up) W_down + b_down) of each token, (N, D_out).

    All tensors of one dtype; a slot that carries no token has weight 0.
    """
    x_RD = x_ND.index_select(0, rows.token_R)
    inner_RH = x_ND.new_empty(len(x_RD), up_EDH.shape[2])
    hidden_RH = torch.empty_like(inner_RH)
    y_RD, all_y_RD = with_a_zero_row(len(x_RD), down_EHD.shape[2], x_ND)
    for x, inner, hidden, y, up, up_bias, down, down_bias in blocks(
        rows.per_expert,
        (x_RD, inner_RH, hidden_RH, y_RD),
        (up_EDH, up_bias_EH[:, None], down_EHD, down_bias_ED[:, None]),
    ):
        torch.baddbmm(up_bias, x, up, out=inner)
        torch.ops.aten.gelu.out(inner, out=hidden)
        torch.baddbmm(down_bias, hidden, down, out=y)
    y_ND = embedding_bag(rows.place_NK, all_y_RD, mode="sum", per_sample_weights=weight_NK)
    return y_ND, Saved(x_RD, inner_RH, hidden_RH, y_RD)


class FusedExperts(torch.autograd.Function):
    """`mixed`, and its gradients."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """As above."""
        y_ND, saved = mixed(*arguments)
        _, weight_NK, up_EDH, _, down_EHD, _, rows = arguments
        ctx.per_expert = rows.per_expert
        ctx.save_for_backward(*saved, weight_NK, up_EDH, down_EHD, rows.token_R, rows.place_NK)
        return y_ND

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the six tensors. RuntimeError on a second derivative."""
        # `once_differentiable` does not raise where the incoming gradient is constant: a wrong second derivative.
        if torch.is_grad_enabled():
            raise RuntimeError('no second derivative of these gradients by hand; dispatch="loop" has one')
        x_RD, inner_RH, hidden_RH, y_RD, weight_NK, up_EDH, down_EHD, token_R, place_NK = ctx.saved_tensors
        rows, place = len(token_R), place_NK.reshape(-1)
        # Slots without a token all write their weight, 0, to the last position, which is never read.
        weight_R1 = grad_ND.new_zeros(rows + 1, 1).scatter_(0, place[:, None], weight_NK.reshape(-1, 1))[:-1]
        grad_weight_R1, all_grad_weight_R1 = with_a_zero_row(rows, 1, grad_ND)
        grad_x_RD, all_grad_x_RD = with_a_zero_row(rows, x_RD.shape[1], x_RD)
        grad_up_EDH, grad_down_EHD = torch.empty_like(up_EDH), torch.empty_like(down_EHD)
        grad_up_bias_E1H, grad_down_bias_E1D = (
            weight.new_empty(len(weight), 1, weight.shape[2]) for weight in (up_EDH, down_EHD)
        )
        for token, x, inner, hidden, y, weight, grad_weight, grad_x, up, down, *grads in blocks(
            ctx.per_expert,
            (token_R, x_RD, inner_RH, hidden_RH, y_RD, weight_R1, grad_weight_R1, grad_x_RD),
            (up_EDH, down_EHD, grad_up_EDH, grad_down_EHD, grad_up_bias_E1H, grad_down_bias_E1D),
        ):
            grad_up, grad_down, grad_up_bias, grad_down_bias = grads
            grad = grad_ND.index_select(0, token.flatten()).view_as(y)
            torch.sum(grad * y, 2, keepdim=True, out=grad_weight)
            grad *= weight
            torch.bmm(hidden.mT, grad, out=grad_down)
            torch.sum(grad, 1, keepdim=True, out=grad_down_bias)
            grad_hidden = torch.bmm(grad, down.mT)
            torch.ops.aten.gelu_backward.grad_input(grad_hidden, inner, grad_input=grad_hidden)
            torch.bmm(x.mT, grad_hidden, out=grad_up)
            torch.sum(grad_hidden, 1, keepdim=True, out=grad_up_bias)
            torch.bmm(grad_hidden, up.mT, out=grad_x)
        grad_x_ND = embedding_bag(place_NK, all_grad_x_RD, mode="sum")
        grad_weight_NK = all_grad_weight_R1.view(-1).index_select(0, place).view_as(weight_NK)
        grad_biases = grad_up_bias_E1H[:, 0], grad_down_bias_E1D[:, 0]
        return grad_x_ND, grad_weight_NK, grad_up_EDH, grad_biases[0], grad_down_EHD, grad_biases[1], None


def with_a_zero_row(rows: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Uninitialised (rows, width), and the same memory with an extra row of zeros, for slots without a token."""
    longer = like.new_empty(rows + 1, width)
    longer[rows] = 0
    return longer[:rows], longer


def blocks(
    per_expert: list[int], of_rows: tuple[Tensor, ...], of_experts: tuple[Tensor, ...]
) -> Iterator[tuple[Tensor, ...]]:
    """The parts of (R, ...) as (experts, C, ...), and those of (E, ...), of experts that are computed at once.

    All where they have equally many rows, which is one batched product instead of E; one by one otherwise, so that
    what is computed of an expert stays in the cache until its last product.
    """
    experts, rows = len(per_expert), per_expert[0]
    if min(per_expert) == max(per_expert) > 0:
        yield *(value.view(experts, rows, -1) for value in of_rows), *of_experts
        return
    parts = [torch.split(value[None], per_expert, 1) for value in of_rows]
    yield from zip(*parts, *(torch.split(value, 1) for value in of_experts), strict=True)
