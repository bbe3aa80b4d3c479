import numpy as np
import pytest
import torch

from pipeline.cfm_vc.model.latent_pairs import CHUNK, EncodedCells, LatentPairs, Pairing
from pipeline.core.errors import ExpectedError

CPU = torch.device("cpu")
CONTROL = 1  # codes: 0 drug, 1 control, 2 toxin


def encoded(cells=600, seed=0, **fixed) -> EncodedCells:
    """Cells of 3 perturbations x 2 cell types x 2 batches; the first latent tells the cell's number."""
    random = np.random.default_rng(seed)
    codes = {name: random.integers(0, k, cells) for name, k in (("perturbation", 3), ("cell_type", 2), ("batch", 2))}
    latent = random.standard_normal((cells, 4)).astype(np.float32)
    latent[:, 0] = np.arange(cells)
    return EncodedCells(lambda rows: [f"cell{row}" for row in rows], latent, **(codes | fixed))


def pairs(cells, source="control", coupling="ot", seed=0, controls=None, **more) -> LatentPairs:
    pairing = Pairing(source, coupling, CONTROL, ["B", "T"])
    doses = torch.tensor([[1.0, 0], [0, 0], [0, 1]])
    return LatentPairs(cells, controls or cells, pairing, doses, 128, CPU, seed, **more)


def whole_epoch(source, number=0):
    """Target rows and source latents of an epoch."""
    batches = list(source.epoch(number))
    return torch.cat([b.rows for b in batches]).numpy(), torch.cat([b.source_BD for b in batches]).numpy()


@pytest.mark.parametrize("coupling", ["ot", "independent"])
def test_a_pair_never_crosses_cell_type_or_batch_and_starts_at_a_control(coupling):
    cells = encoded()
    rows, source = whole_epoch(pairs(cells, coupling=coupling))
    start = source[:, 0].astype(int)
    assert (cells.perturbation[start] == CONTROL).all()
    assert (cells.cell_type[start] == cells.cell_type[rows]).all()
    assert (cells.batch[start] == cells.batch[rows]).all()


def test_a_control_is_paired_with_itself():
    cells = encoded()
    rows, source = whole_epoch(pairs(cells))
    control = cells.perturbation[rows] == CONTROL
    assert (source[control] == cells.latent_ND[rows[control]]).all()
    assert (source[~control] != cells.latent_ND[rows[~control]]).any(1).all()


def test_ot_is_solved_inside_one_perturbation():
    """Two perturbations move the same controls apart in opposite ways: coupling them together would mix the two."""
    cells = encoded(cells=400, cell_type=np.zeros(400, np.int64), batch=np.zeros(400, np.int64))
    cells.latent_ND[cells.perturbation == 0] += 1000
    cells.latent_ND[cells.perturbation == 2] -= 1000
    rows, source = whole_epoch(pairs(cells))
    controls = np.sum(cells.perturbation == CONTROL)
    for perturbation in (0, 2):
        of_one = source[cells.perturbation[rows] == perturbation][:, 0]
        _, uses = np.unique(of_one, return_counts=True)  # each perturbation has the whole pool to draw from, evenly
        assert uses.max() <= -(-len(of_one) // controls)


def test_ot_pairs_are_closer_than_independent_ones():
    cells = encoded()
    costs = []
    for coupling in ("ot", "independent"):
        rows, source = whole_epoch(pairs(cells, coupling=coupling))
        costs.append(((source - cells.latent_ND[rows]) ** 2).sum())
    assert costs[0] < 0.9 * costs[1]


def test_a_batch_without_controls_falls_back_to_the_cell_type():
    cells = encoded()
    cells.perturbation[(cells.batch == 1) & (cells.perturbation == CONTROL)] = 0
    rows, source = whole_epoch(pairs(cells))
    start = source[:, 0].astype(int)
    moved = cells.perturbation[rows] != CONTROL
    assert (cells.cell_type[start] == cells.cell_type[rows]).all()
    assert (cells.batch[start[moved]] == 0).all()


def test_a_cell_type_without_controls_is_an_error_that_names_it_and_the_way_out():
    cells = encoded()
    cells.perturbation[(cells.cell_type == 1) & (cells.perturbation == CONTROL)] = 0
    with pytest.raises(ExpectedError, match=r"'T' has no control cell.*flow.source: noise"):
        pairs(cells)
    pairs(cells, source="noise")


def test_noise_is_standard_normal_and_independent_of_the_cells():
    cells = encoded(cells=3000)
    _, source = whole_epoch(pairs(cells, source="noise"))
    np.testing.assert_allclose(source.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(source.std(0), 1, atol=0.1)


@pytest.mark.parametrize("source", ["control", "noise"])
def test_pairs_depend_on_seed_and_epoch_alone(source):
    cells = encoded()
    epochs = [whole_epoch(pairs(cells, source, seed=seed), number) for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1))]
    for same, other in ((0, 1),):
        assert (epochs[same][1] == epochs[other][1]).all()
    assert not (epochs[0][1] == epochs[2][1]).all()
    assert not (epochs[0][1] == epochs[3][1]).all()


def test_fixed_pairs_are_the_same_in_every_epoch():
    source = pairs(encoded(), fixed=True)
    assert (whole_epoch(source, 0)[1] == whole_epoch(source, 7)[1]).all()


def test_validation_cells_start_at_training_controls():
    controls = encoded(seed=5)
    controls.latent_ND[:, 0] += 10_000
    cells = encoded(cells=100)
    rows, source = whole_epoch(pairs(cells, controls=controls))
    moved = cells.perturbation[rows] != CONTROL
    assert (source[moved, 0] >= 10_000).all()


def test_an_epoch_has_every_cell_once_and_can_be_entered_in_the_middle():
    source = pairs(encoded())
    rows, _ = whole_epoch(source, 3)
    assert sorted(rows) == list(range(600))
    whole, rest = list(source.epoch(3)), list(source.epoch(3, start=2))
    assert len(whole) == len(source)
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.source_BD, other.source_BD)


def test_a_minibatch_holds_several_cells_of_each_group():
    cells = encoded(cells=2000)
    batch = next(iter(pairs(cells).epoch(0)))
    _, size = batch.group_B.unique(return_counts=True)
    assert len(size) <= 128 // CHUNK + 2
    assert size.max() >= CHUNK


def test_the_covariates_and_doses_are_the_target_cells():
    cells = encoded()
    batch = next(iter(pairs(cells).epoch(0)))
    rows = batch.rows.numpy()
    assert (batch.cell_type_B.numpy() == cells.cell_type[rows]).all()
    assert ((batch.p_BP == 0).all(1).numpy() == (cells.perturbation[rows] == CONTROL)).all()
    assert (batch.target_BD.numpy() == cells.latent_ND[rows]).all()
    assert pairs(cells).names(batch) == [f"cell{row}" for row in rows]
