import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import gelu

from pipeline.nn.moe import balance
from pipeline.nn.moe.experts import Experts
from pipeline.nn.moe.gates import GATES, normalised_entropy
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.nn.moe.routing import Routing, combine_weights, within_capacity

N, D, E, H = 40, 16, 4, 32
DISPATCHES = ["sorted", "padded", "grouped", "loop"]


def x_of(seed=0, tokens=N):
    return torch.randn(tokens, D, generator=torch.Generator().manual_seed(seed))


def layer(**changes):
    torch.manual_seed(1)
    return MixtureOfExperts(D, H, E, **({"k": 2} | changes))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def per_token(mixture, x, routing):
    """The definition: token by token, slot by slot."""
    experts = mixture.experts
    rows = []
    for n in range(len(x)):
        total = torch.zeros(experts.down_EHD.shape[2], dtype=x.dtype)
        for k in range(routing.expert_NK.shape[1]):
            if routing.kept_NK[n, k]:
                e = int(routing.expert_NK[n, k])
                hidden = gelu(x[n] @ experts.up_EDH[e] + experts.up_bias_EH[e])
                total = total + routing.weight_NK[n, k] * (hidden @ experts.down_EHD[e] + experts.down_bias_ED[e])
        rows.append(total)
    return torch.stack(rows)


def outputs_and_gradients(mixture, x, how):
    x = x.clone().requires_grad_()
    mixture.zero_grad()
    routing = mixture.gate(x, generator())
    if mixture.capacity_factor is not None:
        capacity = math.ceil(mixture.capacity_factor * routing.expert_NK.numel() / routing.experts)
        routing = routing.only(within_capacity(routing.expert_NK, routing.kept_NK, routing.experts, capacity))
    y = per_token(mixture, x, routing) if how == "per token" else mixture.experts(x, routing, how)
    (y * torch.randn(y.shape, generator=generator(7))).sum().backward()
    return y.detach(), {"x": x.grad, **{name: p.grad for name, p in mixture.named_parameters()}}


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("capacity_factor", [None, 0.5])
@pytest.mark.parametrize("gate", sorted(GATES))
def test_every_dispatch_equals_the_loop_over_tokens_in_output_and_gradients(dispatch, k, capacity_factor, gate):
    mixture = layer(k=k, capacity_factor=capacity_factor, gate=gate)
    nn.init.normal_(mixture.experts.up_bias_EH)
    nn.init.normal_(mixture.experts.down_bias_ED)
    expected, expected_gradient = outputs_and_gradients(mixture, x_of(), "per token")
    y, gradient = outputs_and_gradients(mixture, x_of(), dispatch)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    assert gradient["gate.logits.weight"].abs().max() > 0
    for name, value in expected_gradient.items():
        torch.testing.assert_close(gradient[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_one_expert_is_the_dense_layer():
    mixture = MixtureOfExperts(D, H, 1, 1)
    experts, x = mixture.experts, x_of()
    dense = gelu(x @ experts.up_EDH[0] + experts.up_bias_EH[0]) @ experts.down_EHD[0] + experts.down_bias_ED[0]
    torch.testing.assert_close(mixture(x).y_ND, dense, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2])
def test_permuting_the_tokens_permutes_the_outputs(k):
    mixture, x = layer(k=k).eval(), x_of()
    order = torch.randperm(N, generator=generator(3))
    torch.testing.assert_close(mixture(x[order]).y_ND, mixture(x).y_ND[order])


@pytest.mark.parametrize("gate", sorted(GATES))
@pytest.mark.parametrize("k", [2, 4])
def test_weights_of_a_token_sum_to_one(gate, k):
    routing = layer(gate=gate, k=k).gate(x_of(), generator())
    torch.testing.assert_close(routing.weight_NK.sum(1), torch.ones(N))
    torch.testing.assert_close(routing.probability_NE.sum(1), torch.ones(N))


def test_a_single_expert_is_weighted_by_its_probability_so_that_the_gate_learns_from_the_task():
    logit = torch.randn(N, E, requires_grad=True)
    chosen = logit.argmax(1, keepdim=True)
    weight = combine_weights(logit, logit.softmax(1), chosen)
    torch.testing.assert_close(weight[:, 0], torch.softmax(logit, 1).max(1).values)
    weight.sum().backward()
    assert (logit.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_agree_with_the_loop(dtype):
    mixture = layer().to(dtype)
    x = x_of().to(dtype)
    routing = mixture.gate(x)
    tolerance = {"rtol": 1e-10, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 0.05, "atol": 0.02}
    torch.testing.assert_close(mixture.experts(x, routing), mixture.experts(x, routing, "loop"), **tolerance)


def test_an_expert_width_that_grouped_products_cannot_take_has_another_way():
    mixture = MixtureOfExperts(D, 30, E, 2, outputs=3)  # rows of 7 and 3 floats
    x = x_of(tokens=400)
    torch.testing.assert_close(mixture(x).y_ND, per_token(mixture, x, mixture.gate(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_an_unused_expert_gets_a_gradient_of_zero(dispatch):
    mixture = layer(k=1)
    with torch.no_grad():
        mixture.gate.choice_bias_E[2] = -1e9
    mixture.experts(x_of(), mixture.gate(x_of()), dispatch).sum().backward()
    for parameter in mixture.experts.parameters():
        assert torch.equal(parameter.grad[2], torch.zeros_like(parameter.grad[2]))
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_no_tokens_make_no_outputs(dispatch):
    mixture = layer()
    assert mixture.experts(x_of(tokens=0), mixture.gate(x_of(tokens=0)), dispatch).shape == (0, D)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 1.25])
def test_capacity_is_never_exceeded_and_what_is_dropped_contributes_nothing(factor):
    mixture = layer(capacity_factor=factor)
    with torch.no_grad():
        mixture.gate.choice_bias_E[0] = 1e9  # every token wants expert 0
    y, routing = mixture(x_of())
    capacity = math.ceil(factor * 2 * N / E)
    assert routing.load_E().max() == min(capacity, N)
    assert int(routing.dropped()) == 2 * N - int(routing.load_E().sum())
    assert torch.equal(routing.weight_NK[~routing.kept_NK], torch.zeros(int(routing.dropped())))
    lost = ~routing.kept_NK.any(1)
    assert torch.equal(y[lost], torch.zeros(int(lost.sum()), D))
    assert routing.kept_NK[:capacity, 0].all()  # first choices, in order, come first


def test_dropless_drops_nothing():
    assert int(layer()(x_of()).routing.dropped()) == 0


def routing_of(logit, k=1, expert=None):
    expert = logit.topk(k, dim=1).indices if expert is None else expert
    weight = combine_weights(logit, logit.softmax(1), expert)
    return Routing(expert, weight, torch.ones_like(expert, dtype=torch.bool), logit.softmax(1), logit, torch.zeros(()))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_balance_at_uniform_routing_is_the_same_whatever_k(k):
    expert = (torch.arange(N * E)[:, None] + torch.arange(k)) % E
    routing = routing_of(torch.zeros(N * E, E), k, expert)
    torch.testing.assert_close(balance.switch(routing), torch.tensor(1.0))
    torch.testing.assert_close(balance.importance(routing), torch.tensor(0.0))


def test_balance_at_collapse():
    logit = torch.full((N, E), -50.0)
    logit[:, 1] = 50.0
    torch.testing.assert_close(balance.switch(routing_of(logit)), torch.tensor(float(E)))
    torch.testing.assert_close(balance.importance(routing_of(logit)), torch.tensor(E - 1.0))


def test_z_loss_in_closed_form():
    logit = torch.zeros(N, E)
    torch.testing.assert_close(balance.z_loss(routing_of(logit)), torch.tensor(math.log(E) ** 2))
    torch.testing.assert_close(balance.z_loss(routing_of(logit + 3)), torch.tensor((math.log(E) + 3) ** 2))


def test_bias_only_balancing_evens_the_load_without_a_gradient():
    torch.manual_seed(0)
    gate = GATES["top_k"](D, E, 1)
    x = x_of(tokens=2000) + 1.0
    before = gate(x).load_E()
    for _ in range(400):
        gate.rebalance(gate(x).load_E(), 0.02)
    after = gate(x).load_E()
    assert before.min() < 0.6 * 500
    assert after.min() > 0.85 * 500
    assert not gate.choice_bias_E.requires_grad


@pytest.mark.parametrize("gate", sorted(GATES))
def test_in_evaluation_a_gate_is_noise_free_and_nothing_of_it_changes(gate):
    mixture = layer(gate=gate).eval()
    before = {name: value.clone() for name, value in mixture.state_dict().items()}
    first, second = (mixture(x_of(), generator(seed)).y_ND for seed in (0, 1))
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], value) for name, value in mixture.state_dict().items())


@pytest.mark.parametrize("gate", sorted(set(GATES) - {"top_k"}))
def test_a_stochastic_gate_can_be_sampled_in_evaluation_and_follows_its_generator(gate):
    mixture = layer(gate=gate).eval()
    same, again, other = (mixture(x_of(), generator(seed), sample=True).y_ND for seed in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_gumbel_top_k_samples_in_proportion_to_the_probabilities():
    gate = GATES["gumbel_top_k"](D, E, 1)
    x = x_of(tokens=1).expand(40_000, -1)
    chosen = torch.bincount(gate(x, generator(), sample=True).expert_NK[:, 0], minlength=E) / 40_000
    torch.testing.assert_close(chosen, torch.softmax(gate.clean_logits(x[:1]), 1)[0].detach(), atol=0.01, rtol=0)


def test_the_variational_gate_pays_its_divergence_from_the_prior():
    gate = GATES["variational"](D, E, 2)
    with torch.no_grad():
        gate.logits.weight.zero_()
        gate.log_variance.bias.zero_()
    assert gate(x_of(), generator()).divergence == 0  # the posterior is the prior
    assert layer(gate="variational").gate(x_of(), generator()).divergence > 0


def test_the_router_prior_costs_nothing_where_the_posterior_is_the_prior_whatever_the_router():
    gate = GATES["router_prior"](D, E, 2)
    with torch.no_grad():
        gate.log_variance.bias.zero_()
    assert gate(10 * x_of(), generator()).divergence == 0  # negative control: only the distance to the router counts
    with torch.no_grad():
        gate.shift.weight.fill_(0.1)
    assert gate(x_of(), generator()).divergence > 0
    torch.testing.assert_close(gate.clean_logits(x_of()), gate.logits(x_of()) + gate.shift(x_of()))


def test_the_router_prior_draws_logits_of_its_own_mean_and_covariance_and_pays_their_divergence():
    """Against torch.distributions, token by token, and by drawing."""
    torch.manual_seed(2)
    gate = GATES["router_prior"](D, E, 2)
    for parameter in gate.parameters():
        nn.init.normal_(parameter, std=0.1)
    x = x_of(tokens=3)
    posterior = MultivariateNormal(gate.logits(x) + gate.shift(x), scale_tril=gate.factor(x))
    prior = MultivariateNormal(gate.logits(x), torch.eye(E))
    torch.testing.assert_close(gate(x, generator()).divergence, kl_divergence(posterior, prior).mean())
    drawn = torch.stack([gate.noisy_logits(x[:1].expand(4000, -1), generator(s))[0] for s in range(10)]).flatten(0, 1)
    torch.testing.assert_close(drawn.mean(0), posterior.mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), posterior.covariance_matrix[0], atol=0.03, rtol=0)


def test_a_sure_token_takes_one_expert_where_k_adapts_to_entropy():
    gate = GATES["top_k"](D, E, 2, adaptive_entropy=0.5)
    routing = gate(6 * x_of(tokens=400))
    sure = normalised_entropy(routing.probability_NE) < 0.5
    assert 0 < int(sure.sum()) < 400
    assert torch.equal(routing.kept_NK[:, 1], ~sure)
    assert torch.equal(routing.weight_NK[sure, 1], torch.zeros(int(sure.sum())))


@pytest.mark.parametrize(("k", "temperature"), [(0, 1.0), (E + 1, 1.0), (1, 0.0), (1, -1.0)])
def test_impossible_gates_are_refused(k, temperature):
    with pytest.raises(ValueError, match=r"experts|temperature"):
        MixtureOfExperts(D, H, E, k, temperature=temperature)


def test_the_width_is_shared_among_the_experts_unless_it_is_given():
    assert layer().experts.up_EDH.shape == (E, D, H // E)
    assert MixtureOfExperts(D, 3, 8, 1).experts.up_EDH.shape == (8, D, 1)
    assert layer(hidden_per_expert=5).experts.up_EDH.shape == (E, D, 5)
    total = sum(p.numel() for p in Experts(E, D, H // E).parameters())
    assert total == sum(p.numel() for p in nn.Sequential(nn.Linear(D, H), nn.Linear(H, D)).parameters()) + (E - 1) * D
