import pytest
import torch

from pipeline.nn.layers import CovariateEmbedding, Perceptron, sinusoidal


def test_a_code_above_the_known_ones_is_unknown():
    embedding = CovariateEmbedding(categories=3, dimensions=4, dropout=0.5).eval()
    rows = embedding(torch.tensor([3, 7, 0]))
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_dropout_shows_the_asked_share_as_unknown_and_only_in_training():
    embedding = CovariateEmbedding(categories=2, dimensions=3, dropout=0.25)
    code = torch.zeros(4000, dtype=torch.int64)
    unknown = embedding.table.weight[2]
    share = (embedding(code, torch.Generator().manual_seed(0)) == unknown).all(1).float().mean()
    assert share.item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(embedding.eval()(code), embedding.table(code))


def test_dropout_depends_on_the_generator_and_needs_one():
    embedding = CovariateEmbedding(categories=2, dimensions=3, dropout=0.5)
    code = torch.zeros(50, dtype=torch.int64)
    same = [embedding(code, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*same)
    with pytest.raises(TypeError, match="generator"):
        embedding(code)


def test_the_unknown_vector_is_learned():
    embedding = CovariateEmbedding(categories=2, dimensions=3, dropout=0.5)
    embedding(torch.zeros(50, dtype=torch.int64), torch.Generator().manual_seed(0)).sum().backward()
    assert embedding.table.weight.grad[2].abs().sum() > 0
    assert embedding.table.weight.grad[0].abs().sum() > 0


def test_times_are_told_apart_on_every_scale():
    t = torch.tensor([0.0, 0.001, 0.5, 0.501, 1.0])
    embedded = sinusoidal(t, 16)
    assert embedded.shape == (5, 16)
    assert torch.cdist(embedded, embedded).fill_diagonal_(9).min() > 0.1
    torch.testing.assert_close(embedded[0], torch.cat([torch.zeros(8), torch.ones(8)]))


def test_a_perceptron_has_the_asked_widths():
    assert Perceptron(5, [7, 3])(torch.zeros(2, 5)).shape == (2, 3)
