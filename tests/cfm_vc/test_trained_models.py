"""What training the models brings, on counts whose truth is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.model.flow_matching import FlowObjective
from pipeline.cfm_vc.model.generate import generate
from pipeline.cfm_vc.model.latent_arithmetic import group_latents, latent_arithmetic
from pipeline.cfm_vc.model.latent_pairs import LatentPairs, Pairing
from pipeline.cfm_vc.model.latents import dense_tensors, encoded_cells
from pipeline.cfm_vc.model.marginal_nb import marginal_negative_binomial
from pipeline.cfm_vc.model.question import Question
from pipeline.cfm_vc.model.vae import Vae, VaeObjective
from pipeline.data.cells import Cells, pointers
from pipeline.data.expression import log_normalise
from pipeline.params.optimisation import Optimisation
from pipeline.training.determinism import initial_weights
from pipeline.training.fit import fit
from tests.cfm_vc.small_models import small_field, small_vae

CPU = torch.device("cpu")
GENES, CELL_TYPES, BATCHES, PERTURBATIONS = 60, 3, 2, 2
SIZES = {"cell_types": CELL_TYPES, "batches": BATCHES, "covariate_embedding": 4}
CONTROL, DRUG, HELD_OUT = 0, 1, 2


def simulated(cells: int, seed: int) -> Cells:
    """NB counts of 3 cell types x 2 batches x (control, drug), without cells of type 2 under the drug.

    Cell type and batch set the log mean of every gene; the drug raises that of genes 0 to 11.
    """
    truth = np.random.default_rng(99)
    profile = truth.normal(0, 1, (CELL_TYPES, GENES))
    batch_effect = truth.normal(0, 0.7, (BATCHES, GENES))
    drug = np.zeros(GENES)
    drug[:12] = 1.5
    random = np.random.default_rng(seed)
    codes = {n: random.integers(0, k, cells) for n, k in (("cell_type", 3), ("batch", 2), ("perturbation", 2))}
    codes["perturbation"][codes["cell_type"] == HELD_OUT] = CONTROL
    log_mean = profile[codes["cell_type"]] + batch_effect[codes["batch"]] + codes["perturbation"][:, None] * drug
    share = np.exp(log_mean) / np.exp(log_mean).sum(1, keepdims=True)
    depth = random.lognormal(6, 0.4, (cells, 1))
    x = random.poisson(random.gamma(3.0, 1 / 3.0, (cells, GENES)) * share * depth)
    rows, genes = np.nonzero(x)
    return Cells(
        genes=GENES,
        names=np.array([f"cell{i}" for i in range(cells)], object),
        indptr=pointers(np.bincount(rows, minlength=cells)),
        indices=genes.astype(np.int32),
        counts=x[rows, genes].astype(np.int32),
        library_size=x.sum(1).astype(np.int64),
        covariates=codes,
    )


def settings(**changes) -> Optimisation:
    values = {
        "learning_rate": 3e-3,
        "weight_decay": 1e-5,
        "gradient_clip": 1.0,
        "batch_size": 128,
        "epochs": 25,
        "patience": 25,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
    }
    return Optimisation(**(values | changes))


def new_vae(train: Cells) -> Vae:
    with initial_weights(0):
        model = small_vae(**SIZES, genes=GENES, latent_intrinsic=8, hidden=[64], normalised_total=400.0)
    log_share, log_theta = marginal_negative_binomial([train], GENES)
    model.start_from(torch.from_numpy(log_share), torch.from_numpy(log_theta))
    return model


@pytest.fixture(scope="module")
def train():
    return simulated(2000, seed=0)


@pytest.fixture(scope="module")
def validation():
    return simulated(600, seed=1)


@pytest.fixture(scope="module")
def trained(train, validation):
    model = new_vae(train)
    batches = ResidentCounts(train, 128, CPU, seed=0), ResidentCounts(validation, 128, CPU)
    return model, fit("vae", VaeObjective(model, 1.0), *batches, settings(gradient_clip=100.0, epochs=40), CPU)


def probe(latent, codes, new_latent, new_codes):
    """Share of new cells whose nearest class mean (in units of the spread within classes) is their own."""
    classes = np.unique(codes)
    means = np.stack([latent[codes == c].mean(0) for c in classes])
    spread = np.sqrt(np.mean([latent[codes == c].var(0) for c in classes], axis=0)) + 0.05
    distance = (((new_latent[:, None] - means) / spread) ** 2).sum(-1)
    return (classes[distance.argmin(1)] == new_codes).mean()


def test_the_vae_beats_the_marginal_negative_binomial(trained, train, validation):
    log_share, log_theta = (a.astype(float) for a in marginal_negative_binomial([train], GENES))
    mean, theta = validation.library_size[:, None] * np.exp(log_share), np.exp(log_theta)
    baseline = -stats.nbinom.logpmf(validation.dense(slice(None)), theta, theta / (theta + mean)).sum(1).mean()
    _, fitted = trained
    assert fitted.validation["loss"] < baseline - 10
    assert fitted.validation["loss"] < fitted.curve[0]["validation_loss"]


def test_the_two_latents_hold_what_their_names_say(trained, train, validation):
    model, _ = trained
    with torch.no_grad():
        old, new = (model.encode(*dense_tensors(cells, CPU)) for cells in (train, validation))

    def accuracy(latent, covariate):
        return probe(
            getattr(old, latent).numpy(),
            getattr(train, covariate),
            getattr(new, latent).numpy(),
            getattr(validation, covariate),
        )

    assert accuracy("tech_mean_BT", "batch") > 0.95
    assert accuracy("int_mean_BI", "cell_type") > 0.95
    assert accuracy("tech_mean_BT", "cell_type") < 0.5  # chance is a third
    assert accuracy("int_mean_BI", "perturbation") > 0.9
    assert accuracy("tech_mean_BT", "perturbation") < 0.65  # chance is a half


def test_a_few_cells_can_be_learned_by_heart(train):
    few = train.select(slice(0, 8))
    model = new_vae(few)
    batches = ResidentCounts(few, 8, CPU, seed=0), ResidentCounts(few, 8, CPU)
    fitted = fit("vae", VaeObjective(model, 0.0), *batches, settings(epochs=300, patience=300), CPU)
    assert fitted.validation["reconstruction"] < fitted.curve[0]["validation_reconstruction"] - 20


def encoded(model, cells):
    return encoded_cells(model, [cells], CPU, lambda rows: [str(cells.names[row]) for row in rows])


@pytest.mark.parametrize(
    ("source", "coupling", "asked"),
    [("control", "ot", HELD_OUT), ("control", "independent", HELD_OUT), ("noise", "ot", 0)],
)
def test_the_flow_predicts_the_change(trained, train, validation, source, coupling, asked):
    """From control cells, of a cell type never seen perturbed; from noise, of one that was."""
    model, _ = trained
    old, new = encoded(model, train), encoded(model, validation)
    with initial_weights(0):
        field = small_field(
            **SIZES,
            dimensions=8,
            treatments=PERTURBATIONS - 1,
            hidden=[64, 64],
            time_embedding=8,
            perturbation_embedding=8,
            basis=4,
        )
    doses = torch.arange(2.0)[:, None]
    pairing = Pairing(source, coupling, CONTROL, ["a", "b", "c"])
    batches = (
        LatentPairs(old, old, pairing, doses, 128, CPU, 0),
        LatentPairs(new, old, pairing, doses, 128, CPU, 0, fixed=True),
    )
    fitted = fit("flow", FlowObjective(field, 0.1), *batches, settings(epochs=25, ema_decay=0.99), CPU)
    assert fitted.validation["loss"] < fitted.curve[0]["validation_loss"]

    def log_share(p):
        """Logarithm of each gene's mean share in the cell type's controls, before and after the flow under p."""
        start = train.select(np.flatnonzero((train.cell_type == asked) & (train.perturbation == CONTROL)))
        x, cell_type, batch = dense_tensors(start, CPU)
        generator = torch.Generator().manual_seed(0)
        made = generate(
            model, field, x, cell_type, batch, doses[p].expand(len(x), -1), source=source, steps=10, generator=generator
        )
        as_started, as_ended = (
            (log_mean.exp() / x.sum(1, keepdim=True)).mean(0).log().detach().numpy()
            for log_mean in (model.decode(made.own_BI, made.tech_BT, x.sum(1)), made.log_mean_BG)
        )
        return as_started, as_ended

    (start, unperturbed), (_, perturbed) = log_share(CONTROL), log_share(DRUG)
    change = perturbed - unperturbed
    truth = np.r_[np.ones(12), np.zeros(GENES - 12)]
    assert np.corrcoef(change, truth)[0, 1] > 0.9
    if source == "control":  # a control has nowhere to go
        assert np.abs(unperturbed - start).mean() < 0.2 * np.abs(change).mean()


def test_latent_arithmetic_predicts_the_change_in_a_cell_type_never_seen_perturbed(trained, train):
    model, _ = trained
    start = train.select(np.flatnonzero(train.cell_type == HELD_OUT))
    expression = log_normalise(start.dense(slice(None)), start.library_size, 400.0)
    doses = np.arange(2, dtype=np.float32)[:, None]
    asked = Question(HELD_OUT, DRUG, CONTROL, doses[DRUG], doses, start, expression, 400.0, {})
    predicted = latent_arithmetic(model, group_latents(model, [train], CPU), 0, CPU)(asked)
    change = predicted.mean_G - expression.mean(axis=0)
    assert np.corrcoef(change, np.r_[np.ones(12), np.zeros(GENES - 12)])[0, 1] > 0.8
    assert change[:12].mean() > 0.4 * 1.5 > 0.2 > np.abs(change[12:]).mean()
