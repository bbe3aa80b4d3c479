import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from pipeline.bayes_moe.data.images import Images
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.model.classifier import ClassifierObjective, averaged, logits, moved, routings
from pipeline.bayes_moe.model.resnet import ResNet18, ResNetConfig
from pipeline.nn.moe.balance import importance, switch, z_loss

CPU = torch.device("cpu")


def images(count=23, size=8, channels=1):
    random = np.random.default_rng(0)
    image_NHWC = random.integers(0, 256, (count, size, size, channels)).astype(np.uint8)
    return Images(image_NHWC, np.arange(count, dtype=np.int64) % 4)


def net(**mixture):
    torch.manual_seed(0)
    network = "experts" if mixture else "dense"
    return ResNet18(ResNetConfig(channels=1, classes=4, width=2, network=network, hidden=8, **mixture))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    source = ResidentImages(images(), 8, CPU, seed=3)
    rows = [torch.cat([batch.rows for batch in source.epoch(number)]).tolist() for number in (0, 1, 0)]
    assert rows[0] == rows[2] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(23))
    later = torch.cat([batch.rows for batch in source.epoch(1, start=2)]).tolist()
    assert later == rows[1][-len(later) :]
    batch = next(source.epoch(0))
    assert batch.x_BCHW.shape == (8, 1, 8, 8)
    whole = images()
    np.testing.assert_allclose(batch.x_BCHW[:, 0], whole.image_NHWC[batch.rows, :, :, 0] / 255, rtol=1e-6)
    assert batch.label_B.tolist() == whole.label_N[batch.rows].tolist()
    assert source.names(batch)[0] == f"image {batch.rows[0]}"


@pytest.mark.parametrize(("count", "size"), [(17, 8), (9, 8), (3, 2), (2, 8), (64, 64), (65, 64)])
def test_no_minibatch_has_a_single_image(count, size):
    source = ResidentImages(images(count), size, CPU, seed=0)
    sizes = [len(batch) for batch in source.epoch(0)]
    assert len(sizes) == len(source)
    assert sum(sizes) == count
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_images_are_moved_and_mirrored():
    x_BCHW = torch.arange(1, 1 + 64 * 2 * 16, dtype=torch.float32).view(64, 2, 4, 4)
    assert torch.equal(moved(x_BCHW, 0, False, generator()), x_BCHW)
    shifted = moved(x_BCHW, 1, False, generator())
    padded = torch.nn.functional.pad(x_BCHW, (1, 1, 1, 1))
    ways = torch.stack([padded[:, :, i : i + 4, j : j + 4] for i in range(3) for j in range(3)])
    is_way = (ways == shifted).flatten(2).all(2)  # (9, B)
    assert (is_way.sum(0) == 1).all()
    assert (is_way.sum(1) > 0).all()
    mirrored = moved(x_BCHW, 0, True, generator())
    same = (mirrored == x_BCHW).flatten(1).all(1)
    assert torch.equal(mirrored[~same], x_BCHW[~same].flip(3))
    assert 15 < same.sum() < 49


def test_the_loss_of_training_has_what_keeps_routing_in_order_and_that_of_evaluation_has_not():
    batch = next(ResidentImages(images(), 23, CPU).epoch(0))
    model = net(experts=3, top_k=2, gate="variational")
    for name, penalty in (("switch", switch), ("importance", importance)):
        objective = ClassifierObjective(model, balance=name, balance_weight=2.0, z_weight=0.5, divergence_weight=0.25)
        objective.train()
        parts = objective(batch, generator())
        torch.manual_seed(0)
        logit_BK, routing, _ = model(batch.x_BCHW, generator())
        nll = cross_entropy(logit_BK, batch.label_B)
        expected = nll + 2 * penalty(routing) + 0.5 * z_loss(routing) + 0.25 * routing.divergence
        torch.testing.assert_close(parts["loss"], expected)
        torch.testing.assert_close(parts["balance"], penalty(routing))
        assert sum(parts[f"load_{expert}"] for expert in range(3)).item() == pytest.approx(1)
        objective.eval()
        parts = objective(batch, generator())
        assert torch.equal(parts["loss"], parts["nll"])


def test_a_bias_balances_without_a_loss():
    batch = next(ResidentImages(images(), 23, CPU).epoch(0))
    model = net(experts=3, top_k=1)
    objective = ClassifierObjective(model, balance="bias", balance_weight=0.125).train()
    parts = objective(batch, generator())
    assert torch.equal(parts["loss"], parts["nll"])
    assert model.mixture.gate.choice_bias_E.abs().max() == 0.125
    before = model.mixture.gate.choice_bias_E.clone()
    objective.eval()
    objective(batch, generator())
    assert torch.equal(model.mixture.gate.choice_bias_E, before)


def test_answers_are_those_of_the_model_in_order():
    source = ResidentImages(images(), 5, CPU)
    model = net(experts=3, top_k=2, gate="gumbel_top_k").eval()
    whole = next(ResidentImages(images(), 23, CPU).epoch(0))
    logit_NK = logits(model, source.epoch(0))
    torch.testing.assert_close(logit_NK, model(whole.x_BCHW).logit_BK.detach())
    label_N = torch.cat([label for _, label in routings(model, source.epoch(0))])
    assert label_N.tolist() == whole.label_B.tolist()


def test_sampled_routes_are_averaged_as_probabilities():
    source = ResidentImages(images(), 23, CPU)
    model = net(experts=3, top_k=1, gate="gumbel_top_k").eval()
    found = averaged(model, source.epoch(0), [1, 4], generator(5))
    again = generator(5)
    x_BCHW = next(source.epoch(0)).x_BCHW
    drawn = torch.stack([model(x_BCHW, again, sample=True).logit_BK.softmax(1) for _ in range(4)])
    torch.testing.assert_close(found[0].exp(), drawn[0])
    torch.testing.assert_close(found[1].exp(), drawn.mean(0))
    assert not torch.allclose(found[0], found[1])


def test_without_noise_there_is_nothing_to_average():
    source = ResidentImages(images(), 23, CPU)
    model = net(experts=3, top_k=1).eval()
    found = averaged(model, source.epoch(0), [1, 3], generator())
    torch.testing.assert_close(found[0], found[1])
