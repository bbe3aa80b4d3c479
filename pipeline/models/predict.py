"""CFM-VC as a method among others: questions in, predicted populations out, in blocks of cells.

B: cells; G: genes.
"""

import numpy as np
import torch

from pipeline.data.expression import log_normalise
from pipeline.models.baselines import Method, Prediction, Question
from pipeline.models.flow import FlowField
from pipeline.models.generate import Source, generate, sample_counts
from pipeline.models.latents import blocks, dense_tensors
from pipeline.models.vae import Vae

MEAN_DRAWS = 8  # samples of counts per decoded cell that the predicted mean is taken over


def cfm_vc(vae: Vae, field: FlowField, source: Source, steps: int, seed: int, device: torch.device) -> Method:
    """The method that carries the question's control cells along the flow, decodes them and samples counts.

    Both models in eval mode, on `device`; steps: of the Euler solver; source: as the flow was trained. The population
    is one sample of counts per control cell (see `sample_counts`), log-normalised by its own sum as real cells are. The
    mean is over `MEAN_DRAWS` samples per cell, to be little affected by the noise of sampling. A question
    has the same answer whatever was asked before it: its generator is seeded by the seed, the cell type and the
    perturbation.
    """

    def answer(question: Question) -> Prediction:
        code = np.random.SeedSequence([seed, question.cell_type, question.perturbation]).generate_state(1)
        generator = torch.Generator(device).manual_seed(int(code[0]))
        total_G = np.zeros(question.start.genes)
        population = []
        for cells in blocks(question.start):
            x_BG, cell_type_B, batch_B = dense_tensors(cells, device)
            p_BP = torch.from_numpy(question.p_P).to(device).expand(len(cells), -1)
            generated = generate(
                vae,
                field,
                x_BG,
                cell_type_B,
                batch_B,
                p_BP,
                source=source,
                steps=steps,
                generator=generator,
                names=list(cells.names),
            )
            for draw in range(MEAN_DRAWS):
                counts_BG = sample_counts(vae, generated, x_BG, source, generator).cpu().numpy()
                expression_BG = log_normalise(counts_BG, counts_BG.sum(axis=1), question.target)
                total_G += expression_BG.sum(axis=0, dtype=np.float64)
                if draw == 0:
                    population.append(expression_BG)
        return Prediction(total_G / (MEAN_DRAWS * len(question.start)), np.concatenate(population))

    return answer
