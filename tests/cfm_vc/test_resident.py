import numpy as np
import torch

from pipeline.cfm_vc.data.resident import ResidentCounts

CPU = torch.device("cpu")


def train_cells(perturbation_store):
    return perturbation_store().read("train")


def dense(batch, genes):
    x_BG = torch.zeros(len(batch), genes)
    x_BG[batch.cell_K, batch.gene_K] = batch.x_K
    return x_BG


def test_a_minibatch_is_the_chosen_cells(perturbation_store):
    cells = train_cells(perturbation_store)
    rows = torch.tensor([7, 0, 7, 30])
    batch = ResidentCounts(cells, 4, CPU).take(rows)
    np.testing.assert_array_equal(dense(batch, cells.genes).numpy(), cells.dense(rows.numpy()))
    assert (batch.x_K > 0).all()
    for name, codes in (("cell_type", batch.cell_type_B), ("batch", batch.batch_B), ("library_size", batch.library_B)):
        np.testing.assert_array_equal(codes.numpy(), getattr(cells, name)[rows.numpy()])


def test_an_epoch_has_every_cell_once_in_an_order_of_its_own(perturbation_store):
    source = ResidentCounts(train_cells(perturbation_store), 16, CPU, seed=3)
    epochs = [torch.cat([batch.rows for batch in source.epoch(number)]) for number in (0, 0, 1)]
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[0].sort().values, torch.arange(len(epochs[0])))
    assert len(list(source.epoch(0))) == len(source)


def test_an_epoch_can_be_entered_in_the_middle(perturbation_store):
    source = ResidentCounts(train_cells(perturbation_store), 16, CPU, seed=3)
    whole, rest = list(source.epoch(2)), list(source.epoch(2, start=3))
    assert [b.rows.tolist() for b in whole[3:]] == [b.rows.tolist() for b in rest]


def test_without_a_seed_the_order_is_the_stores(perturbation_store):
    cells = train_cells(perturbation_store)
    source = ResidentCounts(cells, 16, CPU)
    assert [name for batch in source.epoch(5) for name in source.names(batch)] == cells.names.tolist()


def test_cells_without_counts_are_rows_of_zeros(perturbation_store):
    cells = train_cells(perturbation_store).select(slice(0, 2))
    empty = type(cells)(**(vars(cells) | {"indptr": np.zeros(3, np.int64)}))
    batch = ResidentCounts(empty, 2, CPU).take(torch.tensor([0, 1]))
    assert len(batch) == 2
    assert len(batch.x_K) == len(batch.cell_K) == len(batch.gene_K) == 0
