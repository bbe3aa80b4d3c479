"""Speed of the mixture of experts, forward and backward, beside other ways to do the same, by turns in one run.

    python -m benchmarks.mixture

2,048 tokens of 128 dimensions, 8 experts, two each, 256 hidden units per expert. `einsum`: one-hot dispatch and combine
tensors (N, E, C), as in GShard; `mask loop`: for each expert, the tokens of a mask; `products`: the grouped products
alone, on slots already sorted, with their gradients; `dense`: one feed-forward network of as many parameters as all.
Prints a markdown table of medians and of ratios to the layer, paired turn by turn.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grouped_mm, one_hot

from benchmarks.processes import load
from pipeline.nn.moe.experts import slots_of
from pipeline.nn.moe.layer import MixtureOfExperts

TOKENS, DIMENSIONS, HIDDEN, EXPERTS, K = 2048, 128, 256, 8, 2
REACH = {"einsum": ">= 10", "mask loop": ">= 1.25", "products": ">= 0.74 (1 / 1.35)", "dense": ">= 2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    layer = MixtureOfExperts(DIMENSIONS, HIDDEN * EXPERTS, EXPERTS, K, dispatch="auto")
    x_ND = torch.randn(TOKENS, DIMENSIONS, requires_grad=True)
    dense = nn.Sequential(nn.Linear(DIMENSIONS, HIDDEN * EXPERTS), nn.GELU(), nn.Linear(HIDDEN * EXPERTS, DIMENSIONS))
    ways: dict[str, Callable[[], Tensor]] = {
        "layer": lambda: layer(x_ND).y_ND,
        "einsum": lambda: einsum(layer, x_ND),
        "mask loop": lambda: mask_loop(layer, x_ND),
        "products": products(layer, x_ND),
        "dense": lambda: dense(x_ND),
    }
    for way in ("einsum", "mask loop"):
        torch.testing.assert_close(ways[way](), ways["layer"](), rtol=1e-4, atol=1e-5)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(arguments.turns + 3):
        for way, forward in ways.items():
            took = timed(forward, [x_ND, *layer.parameters(), *dense.parameters()])
            if turn >= 3:
                seconds[way].append(took)
    print(f"{load()}; {arguments.threads} threads, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| forward + backward | median | times the layer's | reach |\n|---|---|---|---|")
    for way, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds["layer"], strict=True))
        print(f"| {way} | {1e3 * statistics.median(times):.2f} ms | {ratio:.2f} | {REACH.get(way, '')} |")


def timed(forward: Callable[[], Tensor], leaves: list[Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    for leaf in leaves:
        leaf.grad = None
    began = time.perf_counter()
    y = forward()
    y.backward(torch.ones_like(y))
    return time.perf_counter() - began


def einsum(layer: MixtureOfExperts, x_ND: Tensor) -> Tensor:
    """Dense tensors that say which token is which slot of which expert; capacity is the largest load, so none drops."""
    routing, experts = layer.gate(x_ND), layer.experts
    taken_NKE = one_hot(routing.expert_NK, EXPERTS)
    place_NKE = (taken_NKE.flatten(0, 1).cumsum(0).view_as(taken_NKE) - 1) * taken_NKE
    capacity = int(routing.load_E().max())
    combine_NEC = torch.einsum(
        "nk,nke,nkec->nec", routing.weight_NK, taken_NKE.float(), one_hot(place_NKE, capacity).float()
    )
    x_ECD = torch.einsum("nec,nd->ecd", (combine_NEC != 0).float(), x_ND)
    hidden_ECH = gelu(torch.baddbmm(experts.up_bias_EH[:, None], x_ECD, experts.up_EDH))
    y_ECD = torch.baddbmm(experts.down_bias_ED[:, None], hidden_ECH, experts.down_EHD)
    return torch.einsum("nec,ecd->nd", combine_NEC, y_ECD)


def mask_loop(layer: MixtureOfExperts, x_ND: Tensor) -> Tensor:
    """For each expert the tokens of a mask over all tokens."""
    routing = layer.gate(x_ND)
    y_ND = torch.zeros_like(x_ND)
    for expert in range(EXPERTS):
        chosen_NK = routing.expert_NK == expert
        weight_N = (routing.weight_NK * chosen_NK).sum(1)
        mask_N = chosen_NK.any(1)
        y_ND[mask_N] += weight_N[mask_N, None] * layer.experts.one(x_ND[mask_N], expert)
    return y_ND


def products(layer: MixtureOfExperts, x_ND: Tensor) -> Callable[[], Tensor]:
    """The two grouped products on sorted slots: what no dispatch can do without."""
    slots = slots_of(layer.gate(x_ND))
    offsets_E = slots.load_E.cumsum(0).to(torch.int32)
    x_SD = x_ND.detach()[slots.token_S].requires_grad_()
    up_EDH, down_EHD = layer.experts.up_EDH, layer.experts.down_EHD
    return lambda: grouped_mm(grouped_mm(x_SD, up_EDH, offs=offsets_E), down_EHD, offs=offsets_E)


if __name__ == "__main__":
    main()
