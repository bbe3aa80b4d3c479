"""Prediction with CFM-VC: as a method of the evaluation, and on blocks of new cells.

B: cells; G: genes; I: dimensions of z_int; T: of z_tech; P: treatments.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.model.effects import Effects
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.generate import Generated, Source, sample_counts
from pipeline.cfm_vc.model.latents import BLOCK, dense_tensors
from pipeline.cfm_vc.model.question import Method, Prediction, Question
from pipeline.cfm_vc.model.transport import Solution, transported
from pipeline.cfm_vc.model.vae import Vae
from pipeline.core.errors import ExpectedError
from pipeline.data.cells import Cells, regrouped
from pipeline.data.expression import log_normalise
from pipeline.nn.distributions import sample_negative_binomial

MEAN_DRAWS = 8  # count samples per decoded cell, averaged for the predicted mean
LARGEST_COUNT = np.iinfo(np.int32).max

Output = Literal["counts", "means"]
# Makes of control cells, for a question, their counts and what they become.
Carry = Callable[[Question, Cells, torch.Generator], tuple[Tensor, Generated]]
Array = npt.NDArray[np.float32]
Names = npt.NDArray[np.object_]


class Latents(NamedTuple):
    """Posterior means of both latents."""

    int_BI: Array
    tech_BT: Array


class PredictedCells(NamedTuple):
    """Predicted cells: their counts or means, and their latents."""

    x_BG: Array
    int_BI: Array
    control: Latents  # of the control cells; predicted cells have the same z_tech


def cfm_vc(vae: Vae, field: FlowField, solution: Solution, effects: Effects, seed: int, device: torch.device) -> Method:
    """The method that transports the question's control cells along the flow, decodes them to the size of `effects` and
    samples counts.

    Both models in eval mode, on `device`; see `sampled`. The mean is that of all controls plus the effect, where the
    question brings that mean.
    """

    def carry(question: Question, cells: Cells, generator: torch.Generator) -> tuple[Tensor, Generated]:
        p_BP, offset_BG = effects.applied(cells.cell_type, question.p_P)
        return transported(vae, field, cells, p_BP, solution, generator, offset=offset_BG)

    from_samples = sampled(vae, carry, solution.source, seed, device)

    def answer(question: Question) -> Prediction:
        prediction, effect = from_samples(question), effects.of(question.cell_type, question.p_P)
        if effect is None or (question.cell_type, question.control) not in question.known:
            return prediction
        mean_G = np.maximum(question.control_mean_G + effect.change_G, 0)
        effect_G = effect.change_G - effect.noise_G
        return Prediction(mean_G, prediction.population_BG, effect.interval, effect_G)

    return answer


def sampled(vae: Vae, carry: Carry, source: Source, seed: int, device: torch.device) -> Method:
    """The method that samples counts of what `carry` makes of the question's control cells.

    The population is one sample of counts per control cell (see `sample_counts`), log-normalised by its own sum as for
    real cells. The mean is over `MEAN_DRAWS` samples per cell, to reduce sampling noise. Predictions do not depend on
    the order of questions: the generator is seeded by seed, cell type and perturbation.
    """

    def answer(question: Question) -> Prediction:
        code = np.random.SeedSequence([seed, question.cell_type, question.perturbation]).generate_state(1)
        generator = torch.Generator(device).manual_seed(int(code[0]))
        total_G = np.zeros(question.start.genes)
        population = []
        for cells in regrouped([question.start], BLOCK):
            x_BG, generated = carry(question, cells, generator)
            samples = sample_counts(vae, generated, x_BG, source, generator, MEAN_DRAWS)
            for draw, sampled_BG in enumerate(samples):
                counts_BG = sampled_BG.cpu().numpy()
                expression_BG = log_normalise(counts_BG, counts_BG.sum(axis=1), question.target)
                total_G += expression_BG.sum(axis=0, dtype=np.float64)
                if draw == 0:
                    population.append(expression_BG)
        return Prediction(total_G / (MEAN_DRAWS * len(question.start)), np.concatenate(population))

    return answer


@torch.no_grad()
def predict_cells(
    vae: Vae,
    field: FlowField,
    cells: Cells,
    p_P: npt.NDArray[np.float32],
    solution: Solution,
    effects: Effects,
    output: Output,
    generator: torch.Generator,
) -> PredictedCells:
    """Predict control cells under the doses p; both models in eval mode, on the generator's device.

    Counts are sampled, including z_int; means are predicted from each cell's posterior mean. ExpectedError if a value
    is not finite, or a count exceeds 32 bits.
    """
    drawn, (p_BP, offset_BG) = output == "counts", effects.applied(cells.cell_type, p_P)
    x_BG, generated = transported(vae, field, cells, p_BP, solution, generator, drawn, offset_BG)
    _check_finite(generated.log_mean_BG, cells.names)
    if output == "means":
        made_BG = generated.log_mean_BG.exp()
    else:
        (made_BG,) = sample_counts(vae, generated, x_BG, solution.source, generator)
    started = _encoded(vae, x_BG, cells)
    return PredictedCells(_checked(made_BG, cells.names), generated.int_BI.cpu().numpy(), started)


@torch.no_grad()
def encode_cells(vae: Vae, cells: Cells) -> Latents:
    """Posterior means; the model in eval mode. ExpectedError if one is not finite."""
    return _encoded(vae, dense_tensors(cells, vae.log_theta_G.device)[0], cells)


@torch.no_grad()
def decode_latents(
    vae: Vae, latents: Latents, library_size: float, output: Output, generator: torch.Generator, names: Names
) -> Array:
    """Means (B, G) at this library size, or counts sampled from the negative binomial with these means.

    The model in eval mode, on the generator's device. ExpectedError if a value is not finite."""
    int_BI, tech_BT = (torch.from_numpy(latent).to(generator.device) for latent in latents)
    log_mean_BG = vae.decode(int_BI, tech_BT, torch.full((len(int_BI),), library_size, device=generator.device))
    _check_finite(log_mean_BG, names)
    if output == "means":
        return _checked(log_mean_BG.exp(), names)
    return _checked(sample_negative_binomial(log_mean_BG, vae.log_theta_G.detach(), generator), names)


def _encoded(vae: Vae, x_BG: Tensor, cells: Cells) -> Latents:
    cell_type_B, batch_B = (torch.from_numpy(codes).to(x_BG.device) for codes in (cells.cell_type, cells.batch))
    posterior = vae.encode(x_BG, cell_type_B, batch_B)
    _check_finite(torch.cat([posterior.int_mean_BI, posterior.tech_mean_BT], dim=1), cells.names)
    return Latents(posterior.int_mean_BI.cpu().numpy(), posterior.tech_mean_BT.cpu().numpy())


def _check_finite(values_B: Tensor, names: Names) -> None:
    finite_B = torch.isfinite(values_B).all(dim=1)
    if not bool(finite_B.all()):
        rows = torch.nonzero(~finite_B).flatten().tolist()
        raise ExpectedError(
            f"the prediction is not finite in {len(rows)} of {len(names)} cells, such as {names[rows[0]]}; likely "
            "cause: weights that are not finite, or latents far outside the training data"
        )


def _checked(x_BG: Tensor, names: Names) -> Array:
    """On the CPU, finite and within 32 bits."""
    _check_finite(x_BG, names)
    if len(x_BG) and float(x_BG.max()) > LARGEST_COUNT:
        raise ExpectedError(
            f"a predicted count exceeds 32 bits ({float(x_BG.max()):.3g}): ask for means, or for smaller library sizes"
        )
    found: Array = x_BG.cpu().numpy()
    return found
