"""The training likelihood of counts: negative binomial, with means that are shares of the library size.

B: cells, G: genes, K: non-zero counts, M: the large ones among them, X: small counts.

Most counts are zero, most of the others are small, and lgamma is costly. So with r = μ/θ the sum over genes is split:

    log p(0) = −θ log(1+r)                               at all entries: one logarithm each
    log p(x) − log p(0) = c(x, θ) − x log(1+1/r)         at the non-zero ones
    c(x, θ) = lgamma(x+θ) − lgamma(θ) − lgamma(x+1)      = log θ + log(θ+1) + ... + log(θ+x−1) − log x!

and c, which depends only on gene and count, is looked up in a table (X, G) for small counts.

The gradient is hand-written: autograd would store ten (B, G) matrices, this stores two.
`pipeline.nn.distributions.negative_binomial_log_likelihood` is the plain version; the tests compare the two.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from pipeline.nn.distributions import digamma_error, log_rising_ratio

_SMALL_COUNTS = 16  # size of the table; at 10 % non-zeros, 0.2 % of the entries are larger
_LARGEST_INVERSE = 1e25  # cap on 1/θ in r: beyond it θ log(1+r) is zero in float32 and r would overflow


def log_likelihood_of_shares(
    logit_BG: Tensor, library_B: Tensor, log_theta_G: Tensor, x_K: Tensor, cell_K: Tensor, gene_K: Tensor
) -> Tensor:
    """log p(x) of each cell, summed over genes, (B,): x ~ NB(mean = library · softmax(logit), θ).

    x_K: non-zero counts, with the cell and gene of each. Once differentiable in logit and log θ.
    """
    value_B: Tensor = _LogLikelihood.apply(logit_BG, library_B, log_theta_G, x_K, cell_K, gene_K)  # type: ignore[no-untyped-call]
    return value_B


class _LogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logit_BG: Tensor, library_B: Tensor, log_theta_G: Tensor, x_K: Tensor, cell_K: Tensor, gene_K: Tensor
    ) -> Tensor:
        theta_G = log_theta_G.exp()
        place_K = torch.add(gene_K, cell_K, alpha=logit_BG.shape[1])
        ratio_BG = torch.softmax(logit_BG, dim=1)
        # log μ = logit + this. A share can underflow to zero, its logarithm cannot; the largest share is at least 1/G.
        log_scale_B = library_B.log() - logit_BG.amax(1) + ratio_BG.amax(1).log()
        ratio_BG.mul_(library_B[:, None]).mul_(theta_G.reciprocal().clamp(max=_LARGEST_INVERSE))
        log1p_BG = ratio_BG.log1p()

        log_theta_K = log_theta_G.index_select(0, gene_K)
        log_ratio_K = logit_BG.reshape(-1).index_select(0, place_K) + log_scale_B.index_select(0, cell_K) - log_theta_K
        counts_X = torch.arange(1, _SMALL_COUNTS + 1, device=x_K.device)
        rising_XG = theta_G + (counts_X - 1)[:, None]
        table_XG = rising_XG.log().cumsum(0) - torch.lgamma(counts_X + 1.0).to(theta_G.dtype)[:, None]
        entry_K = torch.add(gene_K, x_K.clamp(max=_SMALL_COUNTS).to(torch.int64) - 1, alpha=len(theta_G))
        value_K = table_XG.view(-1).index_select(0, entry_K)
        large_M = (x_K > _SMALL_COUNTS).nonzero().flatten()
        x_M, theta_M = x_K.index_select(0, large_M), theta_G.index_select(0, gene_K.index_select(0, large_M))
        if len(large_M):
            value_K.index_copy_(0, large_M, log_rising_ratio(x_M, theta_M))
        value_K.addcmul_(x_K, softplus(-log_ratio_K), value=-1)

        ctx.save_for_backward(
            ratio_BG,
            log1p_BG,
            library_B,
            theta_G,
            x_K,
            cell_K,
            gene_K,
            place_K,
            log_ratio_K,
            rising_XG,
            entry_K,
            large_M,
            x_M,
            theta_M,
        )
        return torch.mv(log1p_BG, theta_G).neg_().index_add_(0, cell_K, value_K)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor | None, ...]:
        ratio_BG, log1p_BG, library_B, theta_G, x_K, cell_K, gene_K, place_K, log_ratio_K, *of_c = ctx.saved_tensors
        rising_XG, entry_K, large_M, x_M, theta_M = of_c
        # Of the non-zero counts: d/dlog μ is x θ/(θ+μ); d/dlog θ is that of c minus the same.
        by_mean_K = x_K * torch.sigmoid(-log_ratio_K)
        by_theta_K = (theta_G / rising_XG).cumsum(0).view(-1).index_select(0, entry_K)
        if len(large_M):
            by_theta_K.index_copy_(0, large_M, _rising_ratio_by_log_theta(x_M, theta_M))
        grad_K = grad_B.index_select(0, cell_K)
        by_theta_K.sub_(by_mean_K).mul_(grad_K)
        by_mean_K.mul_(grad_K)
        # Of log p(0): d/dlog μ is −θ r/(1+r).
        bent_BG = ratio_BG / (1 + ratio_BG)
        grad_theta_G = (torch.mv(bent_BG.t(), grad_B) - torch.mv(log1p_BG.t(), grad_B)) * theta_G
        grad_theta_G.index_add_(0, gene_K, by_theta_K)
        # Through the softmax: a gradient h of log μ becomes h − share · Σ h, with share = r θ / library.
        total_B = (grad_B * torch.mv(bent_BG, theta_G)).neg_().index_add_(0, cell_K, by_mean_K)
        grad_BG = bent_BG.mul_(grad_B[:, None]).addcmul_(ratio_BG, (total_B / library_B)[:, None]).mul_(-theta_G)
        grad_BG.view(-1).index_add_(0, place_K, by_mean_K)
        return grad_BG, None, grad_theta_G, None, None, None


def _rising_ratio_by_log_theta(x: Tensor, theta: Tensor) -> Tensor:
    """θ (ψ(x+θ) − ψ(θ)), elementwise: the derivative of c. The logarithms of the two ψ are subtracted analytically."""
    return theta * (torch.log1p(x / theta) + digamma_error(x + theta) - digamma_error(theta))
