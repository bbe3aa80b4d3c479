"""Latent arithmetic: mean latents of groups from a stream, and a prediction that a plain computation gives, too."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.cfm_vc.data.held_out import KNOWN, blocks
from pipeline.cfm_vc.model.generate import Generated, sample_counts
from pipeline.cfm_vc.model.latent_arithmetic import group_latents, latent_arithmetic
from pipeline.cfm_vc.model.latents import dense_tensors
from pipeline.cfm_vc.model.predict import MEAN_DRAWS
from pipeline.cfm_vc.model.question import Question
from pipeline.data.cells import concatenate
from pipeline.data.expression import log_normalise
from pipeline.nn.distributions import sample_gaussian
from tests.cfm_vc.small_models import small_vae

CPU = torch.device("cpu")
DOSES = np.eye(3, 2, k=-1, dtype=np.float32)
B, T, CONTROL, DRUG, TOXIN = 0, 2, 0, 1, 2
TARGET = 50.0


@pytest.fixture
def vae():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small_vae().eval()


@pytest.fixture
def cells(perturbation_store):
    store = perturbation_store()
    return concatenate([store.read(split) for split in KNOWN])


def question(cells, cell_type=T, perturbation=DRUG):
    start = cells.select(np.flatnonzero((cells.cell_type == cell_type) & (cells.perturbation == CONTROL)))
    expression = log_normalise(start.dense(slice(None)), start.library_size, TARGET)
    doses = DOSES[perturbation] if perturbation < len(DOSES) else np.zeros(2, np.float32)
    return Question(cell_type, perturbation, CONTROL, doses, DOSES, start, expression, TARGET, {})


def test_mean_latents_are_those_of_all_cells_of_a_group_however_they_come(vae, cells, perturbation_store, tmp_path):
    with torch.no_grad():
        latent = vae.encode(*dense_tensors(cells, CPU)).int_mean_BI.numpy()
    store = perturbation_store(tmp_path / "again")
    for parts in ([cells], list(blocks(store, KNOWN, named=False)), [cells.select([row]) for row in range(len(cells))]):
        found = group_latents(vae, parts, CPU)
        assert sorted(found) == sorted(set(zip(cells.cell_type.tolist(), cells.perturbation.tolist(), strict=True)))
        for (cell_type, perturbation), mean in found.items():
            mine = (cells.cell_type == cell_type) & (cells.perturbation == perturbation)
            np.testing.assert_allclose(mean, latent[mine].mean(axis=0, dtype=float), atol=1e-6)


def test_the_prediction_is_that_of_a_plain_computation(vae, cells):
    means = group_latents(vae, [cells], CPU)
    asked = question(cells)
    prediction = latent_arithmetic(vae, means, 7, CPU)(asked)
    change = np.mean([means[cell_type, DRUG] - means[cell_type, CONTROL] for cell_type in (0, 1)], axis=0)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([7, T, DRUG]).generate_state(1)[0]))
    x, cell_type, batch = dense_tensors(asked.start, CPU)
    with torch.no_grad():
        posterior = vae.encode(x, cell_type, batch)
        own = sample_gaussian(posterior.int_mean_BI, posterior.int_log_variance_BI, generator)
        moved = own + torch.tensor(change, dtype=torch.float32)
        log_mean = vae.decode(moved, posterior.tech_mean_BT, x.sum(dim=1))
        generated = Generated(own, moved, posterior.tech_mean_BT, log_mean)
        samples = [s.numpy() for s in sample_counts(vae, generated, x, "control", generator, MEAN_DRAWS)]
    expression = [log_normalise(counts, counts.sum(axis=1), TARGET) for counts in samples]
    np.testing.assert_array_equal(prediction.population_BG, expression[0])
    np.testing.assert_allclose(prediction.mean_G, np.mean(expression, axis=(0, 1)), rtol=1e-6)


def test_without_a_change_the_cells_stay_as_they_are(vae, cells):
    """Negative control: groups that are all alike, and a perturbation of which nothing is known."""
    same = {(cell_type, label): np.ones(4) for cell_type in range(3) for label in range(3)}
    for means, asked in ((same, question(cells)), ({(T, CONTROL): np.ones(4)}, question(cells, perturbation=7))):
        np.testing.assert_allclose(
            latent_arithmetic(vae, means, 0, CPU)(asked).population_BG, asked.expression_BG, atol=1e-5
        )


def test_a_perturbation_not_seen_elsewhere_takes_what_is_known_of_the_others(vae, cells):
    means = {group: mean for group, mean in group_latents(vae, [cells], CPU).items() if group[1] != DRUG}
    unseen, toxin = question(cells), replace(question(cells), perturbation=TOXIN, p_P=DOSES[TOXIN], cell_type=B)
    for asked in (unseen, toxin):
        assert np.isfinite(latent_arithmetic(vae, means, 0, CPU)(asked).mean_G).all()


def test_the_answer_and_the_order_of_questions_change_nothing(vae, cells):
    means = group_latents(vae, [cells], CPU)
    method, asked = latent_arithmetic(vae, means, 0, CPU), question(cells)
    expected = method(asked).mean_G
    method(question(cells, B, TOXIN))
    np.testing.assert_array_equal(method(asked).mean_G, expected)
    told = latent_arithmetic(vae, {**means, (T, DRUG): np.full(4, 9.0)}, 0, CPU)
    np.testing.assert_array_equal(told(asked).mean_G, expected)
