"""Members of one network: the average, the loss and the diversity against their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from pipeline.bayes_moe.data.resident import ImageBatch
from pipeline.bayes_moe.model.classifier import ClassifierObjective
from pipeline.bayes_moe.model.members import diversity, member_width, mixture, own_cross_entropy
from pipeline.bayes_moe.model.resnet import ResNet18, ResNetConfig
from pipeline.bayes_moe.model.resnet_cost import classifier_cost


def net(**changes) -> ResNet18:
    torch.manual_seed(0)
    given = {"channels": 1, "classes": 10, "width": 8, "network": "members", "hidden": 168, "members": 4}
    return ResNet18(ResNetConfig(**(given | changes)))


def opinions(members: int = 3, images: int = 7, classes: int = 5) -> torch.Tensor:
    return torch.randn(members, images, classes, generator=torch.Generator().manual_seed(0)).log_softmax(2)


def test_the_formulas_are_those_of_their_definitions():
    log_MBK, label_B = opinions(), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    p_MBK = log_MBK.exp().numpy()
    np.testing.assert_allclose(mixture(log_MBK).exp(), p_MBK.mean(0), rtol=1e-5)
    each = [cross_entropy(log_BK, label_B) for log_BK in log_MBK]
    assert own_cross_entropy(log_MBK, label_B) == pytest.approx(float(np.mean(each)), rel=1e-5)
    expected = np.mean([rel_entr(p_BK, p_MBK.mean(0)).sum(1) for p_BK in p_MBK])
    assert diversity(log_MBK) == pytest.approx(expected, rel=1e-4)


def test_diversity_is_0_of_one_opinion_and_log_m_of_members_that_are_sure_of_different_classes():
    one = opinions(1).repeat(4, 1, 1)
    assert diversity(one) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(mixture(one), one[0])
    sure = (50 * torch.eye(4)[:, None]).log_softmax(2)  # (4, 1, 4)
    assert diversity(sure) == pytest.approx(math.log(4), rel=1e-5)


def test_members_have_the_parameters_and_about_the_arithmetic_of_one_network():
    dense = net(network="dense", hidden=256, members=None)
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in (net(), dense)]
    assert 0.99 < sizes[0] / sizes[1] <= 1.001
    ours, theirs = (classifier_cost(model.eval(), 1, 8, 8) for model in (net(), dense))
    assert ours["activated_flops"] / theirs["activated_flops"] == pytest.approx(1, abs=0.1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net().eval()(torch.rand(1, 1, 8, 8))
    assert ours["activated_flops"] == ours["flops"] == counter.get_total_flops()
    assert [member_width(64, members) for members in (2, 4, 16)] == [45, 32, 16]


def test_a_network_answers_with_the_average_of_its_members():
    model = net(width=2, hidden=8).eval()
    x_BCHW = torch.rand(5, 1, 8, 8)
    logit_BK, routing, member_MBK = model(x_BCHW)
    assert routing is None
    assert member_MBK.shape == (4, 5, 10)
    trunk = model.trunk(x_BCHW)
    each = torch.stack([member(trunk).softmax(1) for member in model.members])
    torch.testing.assert_close(logit_BK.exp(), each.mean(0))
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(model.classify(trunk).logit_BK, logit_BK)


def test_each_learns_by_itself_and_differing_is_rewarded_while_training_only():
    model = net(width=2, hidden=8)
    batch = ImageBatch(torch.arange(6), torch.rand(6, 1, 8, 8), torch.arange(6))
    found = ClassifierObjective(model, diversity_weight=0.3).train()(batch, torch.Generator())
    log_MBK = model(batch.x_BCHW).member_MBK
    expected = own_cross_entropy(log_MBK, batch.label_B) - 0.3 * diversity(log_MBK)
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["nll"], cross_entropy(mixture(log_MBK), batch.label_B))
    assert found["diversity"] > 0
    found["loss"].backward()
    assert all(weight.grad.abs().max() > 0 for name, weight in model.named_parameters() if "dense.2" in name)
    evaluated = ClassifierObjective(model, diversity_weight=0.3).eval()(batch, torch.Generator())
    torch.testing.assert_close(evaluated["loss"], evaluated["nll"])
