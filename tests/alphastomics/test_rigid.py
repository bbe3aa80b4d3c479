"""Turning batches of points onto others, against the alignment of one set of points."""

import numpy as np
import pytest
import torch

from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model.diffusion import centred
from pipeline.alphastomics.model.rigid import rotation, turned

B, N = 4, 9
MASK = torch.arange(N) < torch.tensor([9, 6, 5, 8])[:, None]


def points(space, seed, dtype=torch.float64):
    return centred(torch.randn((B, N, space), generator=torch.Generator().manual_seed(seed), dtype=dtype), MASK)


@pytest.mark.parametrize("space", [2, 3])
def test_it_is_the_alignment_of_each_neighbourhoods_real_cells(space):
    moved, to = points(space, 0), points(space, 1)
    found, turn = turned(moved, to, MASK), rotation(moved, to, MASK)
    reflected = 0
    for b in range(B):
        expected = kabsch(moved[b, MASK[b]].numpy(), to[b, MASK[b]].numpy(), reflection=True)
        np.testing.assert_allclose(turn[b].numpy(), expected.rotation_SS, atol=1e-9)
        np.testing.assert_allclose(found[b, MASK[b]].numpy(), expected.apply(moved[b, MASK[b]].numpy()), atol=1e-9)
        reflected += np.linalg.det(expected.rotation_SS) < 0
    assert 0 < reflected < B, "the points must ask for both"


@pytest.mark.parametrize("space", [2, 3])
def test_what_was_turned_or_mirrored_is_turned_back(space):
    to = points(space, 0, torch.float32)
    matrix, _ = torch.linalg.qr(torch.randn((B, space, space), generator=torch.Generator().manual_seed(2)))
    found = turned(to @ matrix.mT, to, MASK)
    torch.testing.assert_close(found, to)
    assert found.dtype == torch.float32
    torch.testing.assert_close(rotation(to @ matrix.mT, to, MASK), matrix.mT.double(), atol=1e-5, rtol=0)


def test_cells_without_weight_are_turned_along_but_do_not_decide():
    to = points(2, 0)
    moved = to @ torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    moved[~MASK] = 100.0
    spoilt = to.clone()
    spoilt[~MASK] = -70.0
    found = turned(moved, spoilt, MASK)
    torch.testing.assert_close(found[MASK], to[MASK])
    assert not torch.allclose(turned(moved, spoilt, torch.ones_like(MASK))[MASK], to[MASK], atol=1e-2)
