import pytest
import torch
from torch.nn import Conv2d
from torch.nn.functional import conv2d, relu
from torch.utils.flop_counter import FlopCounterMode

from pipeline.bayes_moe.model.resnet import BasicBlock, ResNet18, ResNetConfig
from pipeline.bayes_moe.model.resnet_cost import classifier_cost


def net(**changes):
    torch.manual_seed(0)
    return ResNet18(ResNetConfig(**({"channels": 3, "classes": 5, "width": 8} | changes)))


def test_at_width_64_it_is_resnet_18():
    """11.22 M parameters and 555.5 M multiply-adds at 32x32 with 100 classes."""
    model = net(classes=100, width=64).eval()
    assert sum(weight.numel() for weight in model.parameters()) == 11_220_132
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    assert counter.get_total_flops() / 2 == pytest.approx(555.5e6, rel=1e-3)


@pytest.mark.parametrize("network", ["none", "dense", "experts"])
@pytest.mark.parametrize("place", ["head", "block"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_every_network_classifies_and_learns(network, place, channels, size):
    model = net(channels=channels, network=network, place=place, hidden=32, experts=4, top_k=2)
    answer = model(torch.rand(6, channels, size, size))
    assert answer.logit_BK.shape == (6, 5)
    assert (answer.routing is not None) == (network == "experts")
    if answer.routing is not None:
        assert len(answer.routing.expert_NK) == 6 * model.tokens(size, size)
    answer.logit_BK.square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())
    assert model.stem.weight.grad.abs().max() > 0


@pytest.mark.parametrize("place", ["head", "block"])
def test_the_twins_differ_in_the_gate_and_the_output_biases_alone(place):
    dense = net(network="dense", place=place, hidden=32)
    sparse = net(network="experts", place=place, hidden=32, experts=4)
    features = 8 * (8 if place == "head" else 4)
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in (dense, sparse)]
    assert sizes[1] - sizes[0] == 4 * features + 3 * features
    for shared in ("stem", "stages", "classifier"):
        for one, other in zip(getattr(dense, shared).parameters(), getattr(sparse, shared).parameters(), strict=True):
            assert one.shape == other.shape


def test_images_are_normalised_by_the_training_set():
    plain = net().eval()
    scaled = net(mean=[0.2, 0.4, 0.6], deviation=[0.5, 0.25, 0.1]).eval()
    x = torch.rand(4, 3, 8, 8)
    moved = x * torch.tensor([0.5, 0.25, 0.1])[:, None, None] + torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    torch.testing.assert_close(scaled(moved).logit_BK, plain(x).logit_BK, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("place", ["head", "block"])
def test_routes_of_one_image_share_its_trunk(place):
    model = net(network="experts", place=place, hidden=32, experts=4, gate="gumbel_top_k").eval()
    x = torch.rand(50, 3, 8, 8)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole = model(x, generators[0], sample=True).logit_BK
    torch.testing.assert_close(model.classify(model.trunk(x), generators[1], sample=True).logit_BK, whole)
    assert not torch.equal(model(x, generators[0], sample=True).logit_BK, whole)


@pytest.mark.parametrize("place", ["head", "block"])
def test_dropout_of_the_dense_network_is_noise_that_passes_of_one_image_share_the_trunk_before(place):
    model, plain = (net(network="dense", place=place, hidden=32, dropout=rate).eval() for rate in (0.4, 0.0))
    assert model.stochastic
    assert not plain.stochastic
    x = torch.rand(50, 3, 8, 8)
    without = model(x).logit_BK
    torch.testing.assert_close(without, plain(x).logit_BK)  # the weights are the same, and there is no noise
    torch.testing.assert_close(plain(x, sample=True).logit_BK, without)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole = model(x, generators[0], sample=True).logit_BK
    torch.testing.assert_close(model.classify(model.trunk(x), generators[1], sample=True).logit_BK, whole)
    assert not torch.equal(model(x, generators[0], sample=True).logit_BK, whole)
    assert not torch.equal(whole, without)
    assert not torch.equal(model.train()(x, torch.Generator()).logit_BK, plain.train()(x).logit_BK)


def test_dropout_before_each_linear_layer_of_the_head_is_that_of_its_formula():
    """The dense head, masks and all, written out; the masks are drawn in the order of the layers."""
    model = net(network="dense", hidden=32, dropout=0.25).eval()
    feature_BD = torch.randn(7, 64)
    generator = torch.Generator().manual_seed(1)

    def masked(x):
        return x * (torch.rand(x.shape, generator=generator) >= 0.25) / 0.75

    hidden_BH = masked(torch.nn.functional.gelu(model.dense[0](masked(model.network_norm(feature_BD)))))
    expected_BK = model.classifier(masked(feature_BD + model.dense[2](hidden_BH)))
    found = model.classify(feature_BD, torch.Generator().manual_seed(1), sample=True).logit_BK
    torch.testing.assert_close(found, expected_BK)


@pytest.mark.parametrize("place", ["head", "block"])
def test_a_block_reads_each_position_alone(place):
    """The dense network in the block is a 1x1 convolution, and beside a residual connection."""
    model = net(network="dense", place=place, hidden=32).eval()
    with torch.no_grad():
        model.dense[2].weight.zero_()
        model.dense[2].bias.zero_()
    plain = net(place=place).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith(("dense", "network_norm"))})
    x = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(model(x).logit_BK, plain(x).logit_BK)


@pytest.mark.parametrize("place", ["head", "block"])
@pytest.mark.parametrize("k", [1, 3])
def test_what_a_image_costs(place, k):
    sparse = net(network="experts", place=place, hidden=32, experts=4, top_k=k).eval()
    sparse.mixture.dispatch = "loop"
    dense = net(network="dense", place=place, hidden=32).eval()
    cost, twin = classifier_cost(sparse, 3, 32, 32), classifier_cost(dense, 3, 32, 32)
    for model, found in ((sparse, cost), (dense, twin)):
        assert found["parameters"] == sum(weight.numel() for weight in model.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.rand(1, 3, 32, 32))
        assert found["activated_flops"] == counter.get_total_flops()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.trunk(torch.rand(1, 3, 32, 32))
        assert found["trunk_flops"] == counter.get_total_flops()
    gate = 2 * sparse.tokens(32, 32) * sparse.mixture.gate.logits.weight.numel()
    assert cost["flops"] == twin["flops"] + gate  # all experts together are the dense network
    one = sum(weight[0].numel() for weight in sparse.mixture.experts.parameters())
    assert cost["parameters"] - cost["activated_parameters"] == (4 - k) * one


class StridedBlock(BasicBlock):
    """The block as published: one strided 1x1 convolution in the shortcut."""

    def forward(self, x_BCHW):
        mapped = self.second_norm(self.second(relu(self.first_norm(self.first(x_BCHW)))))
        convolution, norm = self.shortcut
        return relu(mapped + norm(conv2d(x_BCHW, convolution.weight, stride=self.first.stride)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 2), (7, 8)])
def test_a_block_is_the_published_one_with_a_strided_shortcut(stride, channels, size):
    """Outputs and every gradient, in float64."""
    torch.manual_seed(0)
    x_BCHW = torch.randn(5, channels, *size, dtype=torch.float64)
    answers = []
    for block in (BasicBlock(channels, 2 * channels, stride), StridedBlock(channels, 2 * channels, stride)):
        torch.manual_seed(1)
        for parameter in block.double().parameters():
            torch.nn.init.normal_(parameter)
        input_BCHW = x_BCHW.clone().requires_grad_()
        output_BCHW = block(input_BCHW)
        output_BCHW.pow(3).sum().backward()
        answers.append([output_BCHW, input_BCHW.grad, *(parameter.grad for parameter in block.parameters())])
        assert {"shortcut.0.weight", "shortcut.1.weight"} <= block.state_dict().keys()
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other)


def test_no_1x1_convolution_is_strided():
    """oneDNN's AVX2 kernel of its weight's gradient writes past its buffer in channels_last, below 8 channels."""
    convolutions = [layer for layer in net().modules() if isinstance(layer, Conv2d)]
    assert len(convolutions) == 20
    assert all(layer.stride == (1, 1) for layer in convolutions if layer.kernel_size == (1, 1))
