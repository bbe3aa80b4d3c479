"""Speed of the mixture of experts, forward and backward, and of alternatives, interleaved in one run.

    python -m benchmarks.mixture
    python -m benchmarks.mixture --crossing

2,048 tokens of 128 dimensions, 8 experts, two each, 256 hidden units per expert. `einsum`: one-hot dispatch and combine
tensors (N, E, C), as in GShard; `mask loop`: for each expert, the tokens of a mask; `products`: the grouped products
alone, on slots already sorted, with their gradients; `dense`: one feed-forward network of as many parameters as all;
`statistics`: the layer, and the statistics of its routing after it. Prints a markdown table of medians and of ratios to
the layer, paired turn by turn; of one thread, of CPU time. `--crossing` times the experts alone, `sorted` beside
`padded`, over slots, widths and the share of padded rows that hold a slot: what the rule of `auto` in `experts` rests
on. `--profile` prints what each operation of the layer takes, without the others.

The scheduler may keep both threads on one core, where each waits for the other and products take 15 times as long;
`--apart` gives the main thread a core, and the rest the others.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grouped_mm, one_hot

from benchmarks.processes import load
from pipeline.bayes_moe.model.moe_statistics import statistics_of
from pipeline.nn.moe.experts import Experts, slots_of
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing

TOKENS, DIMENSIONS, HIDDEN, EXPERTS, K = 2048, 128, 256, 8, 2
REACH = {
    "einsum": ">= 10",
    "mask loop": ">= 1.6",
    "products": ">= 0.74 (1 / 1.35)",
    "dense": ">= 2",
    "statistics": "near 1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--crossing", action="store_true")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.apart:
        keep_threads_apart()
    if arguments.crossing:
        crossing(arguments.turns)
        return
    layer = MixtureOfExperts(DIMENSIONS, HIDDEN * EXPERTS, EXPERTS, K, dispatch="auto")
    x_ND = torch.randn(TOKENS, DIMENSIONS, requires_grad=True)
    dense = nn.Sequential(nn.Linear(DIMENSIONS, HIDDEN * EXPERTS), nn.GELU(), nn.Linear(HIDDEN * EXPERTS, DIMENSIONS))
    if arguments.profile:
        profiled(lambda: timed(lambda: layer(x_ND).y_ND, [x_ND, *layer.parameters()]), arguments.turns)
        return
    ways: dict[str, Callable[[], Tensor]] = {
        "layer": lambda: layer(x_ND).y_ND,
        "einsum": lambda: einsum(layer, x_ND),
        "mask loop": lambda: mask_loop(layer, x_ND),
        "products": products(layer, x_ND),
        "dense": lambda: dense(x_ND),
        "statistics": lambda: with_statistics(layer, x_ND),
    }
    for way in ("einsum", "mask loop"):
        torch.testing.assert_close(ways[way](), ways["layer"](), rtol=1e-4, atol=1e-5)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(arguments.turns + 3):
        for way, forward in ways.items():
            took = timed(forward, [x_ND, *layer.parameters(), *dense.parameters()])
            if turn >= 3:
                seconds[way].append(took)
    print(
        f"{load()}; {arguments.threads} threads, {clock().__name__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}\n"
    )
    print("| forward + backward | median | times the layer's | reach |\n|---|---|---|---|")
    for way, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds["layer"], strict=True))
        print(f"| {way} | {1e3 * statistics.median(times):.2f} ms | {ratio:.2f} | {REACH.get(way, '')} |")


def timed(forward: Callable[[], Tensor], leaves: list[Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    for leaf in leaves:
        leaf.grad = None
    now = clock()
    began = now()
    y = forward()
    y.backward(torch.ones_like(y))
    return now() - began


def clock() -> Callable[[], float]:
    """Seconds of the processor where there is one thread, which other work on the machine hardly touches."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def profiled(step: Callable[[], object], turns: int) -> None:
    """Print the CPU time of each operation in a step."""
    for _ in range(3):
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(turns):
            step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    whole = sum(row.self_cpu_time_total for row in rows)
    print("| operation | ms a step | share | calls a step |\n|---|--:|--:|--:|")
    for row in rows[:16]:
        spent = row.self_cpu_time_total
        print(f"| {row.key} | {spent / turns / 1e3:.2f} | {spent / whole:.1%} | {row.count / turns:.0f} |")


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

    def forward() -> Tensor:
        x_SD.grad = None  # as `timed` does for the leaves it knows: adding to an old gradient is not part of them
        return grouped_mm(grouped_mm(x_SD, up_EDH, offs=offsets_E), down_EHD, offs=offsets_E)

    return forward


def with_statistics(layer: MixtureOfExperts, x_ND: Tensor) -> Tensor:
    """The layer as it trains with its statistics on."""
    mixed = layer(x_ND)
    statistics_of(mixed.routing)
    return mixed.y_ND


def crossing(turns: int) -> None:
    """Print how many times as long `sorted` takes as `padded`."""
    fills = (1.0, 0.9, 0.8, 0.7, 0.6, 0.4, 0.2)
    print(f"{load()}; {torch.get_num_threads()} threads, torch {torch.__version__}; sorted / padded\n")
    print("| slots | D | H |" + "".join(f" {fill:.0%} filled |" for fill in fills) + "\n|" + "---|" * (3 + len(fills)))
    for dimensions, hidden in ((32, 64), (128, 256), (256, 1024)):
        experts = Experts(EXPERTS, dimensions, hidden)
        for slots in (64, 256, 1024, 4096):
            x_ND = torch.randn(slots, dimensions, requires_grad=True)
            row = []
            for fill in fills:
                routing = routing_filled(slots, fill)
                ways = [partial(experts, x_ND, routing, way) for way in ("sorted", "padded")]
                took = [[timed(way, [x_ND, *experts.parameters()]) for way in ways] for _ in range(turns + 2)][2:]
                row.append(statistics.median(a / b for a, b in took))
            print(f"| {slots} | {dimensions} | {hidden} |" + "".join(f" {ratio:.2f} |" for ratio in row), flush=True)


def routing_filled(slots: int, fill: float) -> Routing:
    """One slot per token; one expert has so many that `fill` of the padded rows hold one, the others share the rest."""
    largest = min(slots, round(slots / (EXPERTS * fill)))
    others = torch.arange(slots - largest) % (EXPERTS - 1) + 1
    expert_N1 = torch.cat([torch.zeros(largest, dtype=torch.int64), others])[torch.randperm(slots), None]
    logit_NE, weight_N1 = torch.zeros(slots, EXPERTS), torch.rand(slots, 1, requires_grad=True)
    kept_N1 = torch.ones_like(expert_N1, dtype=torch.bool)
    return Routing(expert_N1, weight_N1, kept_N1, logit_NE, logit_NE, torch.zeros(()), complete=True)


def keep_threads_apart() -> None:
    """Start all threads there will be, then place them; Linux only."""
    products_of_all_kinds = MixtureOfExperts(64, 512, EXPERTS, K)
    products_of_all_kinds(torch.randn(1024, 64)).y_ND.sum().backward()
    first, *rest = sorted(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first} if int(thread.name) == os.getpid() else set(rest))


if __name__ == "__main__":
    main()
