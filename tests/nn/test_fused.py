import itertools

import pytest
import torch

from pipeline.nn.moe.experts import Experts, rows_of
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing

E, D, H, OUTPUTS = 4, 8, 12, 5


def experts_of(dtype=torch.float64, experts=E):
    torch.manual_seed(0)
    made = Experts(experts, D, H, OUTPUTS).to(dtype)
    for bias in (made.up_bias_EH, made.down_bias_ED):
        torch.nn.init.normal_(bias)
    return made


def routing_of(expert_NK, kept_NK=None, dtype=torch.float64, experts=E):
    kept_NK = torch.ones_like(expert_NK, dtype=torch.bool) if kept_NK is None else kept_NK
    logit = torch.zeros(len(expert_NK), experts, dtype=dtype)
    weight = (0.1 + torch.rand(expert_NK.shape, dtype=dtype)) * kept_NK
    return Routing(expert_NK, weight.requires_grad_(), kept_NK, logit.softmax(1), logit, torch.zeros(()))


SKEWED = torch.tensor([[0, 1], [0, 3], [1, 0], [0, 3], [3, 0]])  # nothing for expert 2
DROPPED = torch.tensor([[1, 1], [1, 0], [0, 0], [1, 1], [0, 1]], dtype=torch.bool)
CASES = {
    "skewed": (SKEWED, None),
    "dropped": (SKEWED, DROPPED),
    "all dropped": (SKEWED, torch.zeros_like(DROPPED)),
    "even": (torch.tensor([[0, 1], [2, 3], [1, 0], [3, 2]]), None),
    "one token": (torch.tensor([[2, 0]]), None),
    "every expert": (torch.arange(E).expand(3, -1), None),
    "one expert each": (torch.tensor([[1], [0], [3]]), None),
    "no token": (torch.zeros(0, 2, dtype=torch.int64), None),
}


def result(experts, x, routing, dispatch):
    """Output and the gradients of all that has one."""
    leaves = [x.detach().clone().requires_grad_(), routing.weight_NK, *experts.parameters()]
    y = experts(leaves[0], routing, dispatch)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(y.dtype)
    return y.detach(), *torch.autograd.grad((y * cotangent).sum(), leaves)


@pytest.mark.parametrize("dispatch", ["auto", "sorted", "padded"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_output_and_every_gradient_are_those_of_the_loop(dispatch, case, dtype):
    expert, kept = CASES[case]
    experts, routing = experts_of(dtype), routing_of(expert, kept, dtype)
    x = torch.randn(len(expert), D, dtype=dtype)
    tolerance = {
        torch.float64: {"rtol": 1e-10, "atol": 1e-12},
        torch.float32: {"rtol": 1e-4, "atol": 1e-5},
        torch.bfloat16: {"rtol": 0.05, "atol": 0.1},
    }[dtype]
    expected = result(experts, x, routing, "loop")
    for ours, theirs in zip(result(experts, x, routing, dispatch), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("dispatch", ["sorted", "padded"])
@pytest.mark.parametrize("case", ["skewed", "even", "one expert each"])
def test_gradients_are_those_of_finite_differences(dispatch, case):
    expert, kept = CASES[case]
    experts, routing = experts_of(), routing_of(expert, kept)
    x = torch.randn(len(expert), D, dtype=torch.float64, requires_grad=True)

    def mix(x, weight, *_parameters):
        return experts(x, routing._replace(weight_NK=weight), dispatch)

    assert torch.autograd.gradcheck(mix, (x, routing.weight_NK, *experts.parameters()))


@pytest.mark.parametrize("dispatch", ["sorted", "padded"])
def test_a_second_derivative_is_refused(dispatch):
    experts, routing = experts_of(), routing_of(SKEWED)
    x = torch.randn(len(SKEWED), D, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(experts(x, routing, dispatch).sum(), x, create_graph=True)
    (gradient,) = torch.autograd.grad(experts(x, routing, "loop").sum(), x, create_graph=True)
    assert gradient.requires_grad


@pytest.mark.parametrize("dispatch", ["sorted", "padded"])
def test_going_back_twice_gives_the_same_gradient_twice(dispatch):
    experts, routing = experts_of(), routing_of(SKEWED, DROPPED)
    x = torch.randn(len(SKEWED), D, dtype=torch.float64, requires_grad=True)
    total = experts(x, routing, dispatch).square().sum()
    first, second = (torch.autograd.grad(total, [x, *experts.parameters()], retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dispatch", ["sorted", "padded"])
@pytest.mark.parametrize("case", ["skewed", "dropped", "all dropped"])
def test_memory_that_was_never_written_is_never_read(dispatch, case):
    """PyTorch fills fresh memory with NaN where algorithms have to be deterministic; so they are, too."""
    expert, kept = CASES[case]
    experts, routing, x = experts_of(), routing_of(expert, kept), torch.randn(len(expert), D, dtype=torch.float64)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (result(experts, x, routing, dispatch) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    for a, b in zip(first, second, strict=True):
        assert torch.isfinite(a).all()
        assert torch.equal(a, b)


@pytest.mark.parametrize("dispatch", ["auto", "sorted", "padded", "grouped", "loop"])
def test_without_gradients_the_output_is_the_same(dispatch):
    torch.manual_seed(0)
    mixture = MixtureOfExperts(16, 64, E, 2, dispatch=dispatch).eval()
    x = torch.randn(30, 16)
    with torch.no_grad():
        y = mixture(x).y_ND
    assert not y.requires_grad
    assert torch.equal(y, mixture(x).y_ND)


def test_rows_are_sorted_by_expert_and_padded_only_where_little_is_wasted():
    even, skewed = routing_of(CASES["even"][0]), routing_of(SKEWED)
    assert rows_of(even, "auto", 10**9).per_expert == [2, 2, 2, 2]
    assert rows_of(skewed, "auto", 10**9).per_expert == [5, 2, 0, 3]
    assert rows_of(skewed, "auto", 100).per_expert == [5, 5, 5, 5]  # few and small: the waste costs next to nothing
    assert rows_of(skewed, "padded", 10**9).per_expert == [5, 5, 5, 5]
    rows = rows_of(skewed, "sorted", 100)
    assert rows.token_R.tolist() == [0, 1, 2, 3, 4, 0, 2, 1, 3, 4]
    expected = torch.arange(len(SKEWED))[:, None].expand(-1, 2)
    assert torch.equal(rows.token_R[rows.place_NK], expected)
    dropped = rows_of(routing_of(SKEWED, DROPPED), "sorted", 100)
    assert dropped.place_NK[~DROPPED].unique().tolist() == [sum(dropped.per_expert)]
    starts = list(itertools.accumulate(dropped.per_expert, initial=0))
    for place, expert in zip(dropped.place_NK[DROPPED].tolist(), SKEWED[DROPPED].tolist(), strict=True):
        assert starts[expert] <= place < starts[expert + 1]
