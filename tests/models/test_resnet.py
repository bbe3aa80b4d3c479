import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.resnet import ResNet18


def net(**changes):
    torch.manual_seed(0)
    return ResNet18(**({"channels": 3, "classes": 5, "width": 8} | changes))


def test_at_width_64_it_is_resnet_18():
    """11.22 M parameters and 555.5 M multiply-adds at 32x32 with 100 classes."""
    model = net(classes=100, width=64).eval()
    assert sum(weight.numel() for weight in model.parameters()) == 11_220_132
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    assert counter.get_total_flops() / 2 == pytest.approx(555.5e6, rel=1e-3)


@pytest.mark.parametrize("head", ["linear", "dense", "experts"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_every_head_classifies_and_learns(head, channels, size):
    mixture = {"experts": 4, "k": 2}
    model = net(channels=channels, head=head, hidden=32, mixture=mixture if head == "experts" else None)
    answer = model(torch.rand(6, channels, size, size))
    assert answer.logit_BK.shape == (6, 5)
    assert (answer.routing is not None) == (head == "experts")
    answer.logit_BK.square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())
    assert model.stem.weight.grad.abs().max() > 0


def test_the_twins_differ_in_the_gate_and_the_output_biases_alone():
    dense = net(head="dense", hidden=32)
    sparse = net(head="experts", hidden=32, mixture={"experts": 4, "k": 1})
    features = 8 * 8
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in (dense, sparse)]
    assert sizes[1] - sizes[0] == 4 * features + 3 * features
    for shared in ("stem", "blocks", "classifier"):
        for one, other in zip(getattr(dense, shared).parameters(), getattr(sparse, shared).parameters(), strict=True):
            assert one.shape == other.shape


def test_pictures_are_normalised_by_the_training_set():
    plain = net().eval()
    scaled = net(mean=[0.2, 0.4, 0.6], deviation=[0.5, 0.25, 0.1]).eval()
    x = torch.rand(4, 3, 8, 8)
    moved = x * torch.tensor([0.5, 0.25, 0.1])[:, None, None] + torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    torch.testing.assert_close(scaled(moved).logit_BK, plain(x).logit_BK, rtol=1e-3, atol=1e-4)


def test_routes_of_one_picture_share_its_features():
    model = net(head="experts", hidden=32, mixture={"experts": 4, "k": 1, "gate": "gumbel_top_k"}).eval()
    x = torch.rand(50, 3, 8, 8)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole = model(x, generators[0], sample=True).logit_BK
    torch.testing.assert_close(model.classify(model.features(x), generators[1], sample=True).logit_BK, whole)
    assert not torch.equal(model(x, generators[0], sample=True).logit_BK, whole)
