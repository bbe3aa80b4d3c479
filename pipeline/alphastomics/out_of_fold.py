"""What a trained network says of the places of cells that it was not trained on, to calibrate what is said of others.

Validation cells are asked about as test cells will be: from the measured cells of other sections where sections are
held out, else from training cells alone, from which a margin parts them.

M: validation cells, S: spatial dimensions, F: features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.alphastomics.data.near_estimates import TrainingEstimates
from pipeline.alphastomics.data.neighbourhoods import expression_of
from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model.calibration import Array, Calibration
from pipeline.alphastomics.model.measured_cells import Codes, MeasuredCells
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling
from pipeline.alphastomics.model.tissue_inference import CALIBRATED_FOR, TrainedTissue
from pipeline.training.determinism import Purpose, torch_generator

MOST_ASKED = 16_384  # validation cells; of more, as many at random
NEIGHBOURHOOD = 1024  # cells asked about together, as in use
ESTIMATES = 4  # from different noise, whose mean is the estimate, as in use


def calibrations(
    trained: TrainedTissue, validation: Sequence[Section], of_training: TrainingEstimates | None, seed: int
) -> dict[str, Any]:
    """For `TrainedTissue.calibration`, as plain JSON; trained.measured: training cells alone."""
    found = {}
    for name in CALIBRATED_FOR:
        asked = list(_asked(trained, validation, of_training, name == "typed", seed))
        parts = [_features_and_distances(one, section, rows, given, seed) for one, section, rows, given in asked]
        features, distances = (np.concatenate(of) for of in zip(*parts, strict=True))
        found[name] = Calibration.fit(features, distances).described()
    return found


def _asked(
    trained: TrainedTissue,
    validation: Sequence[Section],
    of_training: TrainingEstimates | None,
    typed: bool,
    seed: int,
) -> Iterator[tuple[TrainedTissue, Section, Codes, Given]]:
    """The network with the measured cells that each section's validation cells are estimated from, these cells, and
    what is given of them."""
    total = sum(len(section.cells) for section in validation)
    for section in validation:
        rows = np.arange(len(section.cells))
        if total > MOST_ASKED:
            most = max(2, MOST_ASKED * len(rows) // total)
            rows = np.sort(np.random.default_rng([seed, section.code]).choice(len(rows), min(most, len(rows)), False))
        if len(rows) < 2:
            continue
        one = replace(trained, measured=_measured_for(section, trained.measured, of_training))
        x_NG = expression_of(section.cells, rows, trained.standard)
        yield one, section, rows, one.given(len(rows), x_NG, None, section.cells.cell_type[rows] if typed else None)


def _measured_for(
    section: Section, measured: MeasuredCells | None, of_training: TrainingEstimates | None
) -> MeasuredCells | None:
    """Without the section itself where sections are held out."""
    if of_training is None or not of_training.by_sections:
        return measured
    return of_training.cross_fitted.without.get(section.code, measured)


def _features_and_distances(
    trained: TrainedTissue, section: Section, rows: Codes, given: Given, seed: int
) -> tuple[Array, Array]:
    """What the error of the cells' places is expected to depend on (M, F), and how far they are from their estimates
    (M,): in the frame, or where none is shared, after alignment of the section."""
    device = given.cell_type_N.device
    seeds = [torch_generator(device, seed, Purpose.PREDICTION, section.code, number) for number in range(ESTIMATES)]
    sampling = Sampling("expr_to_pos", 1, neighbourhood=NEIGHBOURHOOD)
    estimate_NS = trained.expected_place(given, sampling, ESTIMATES, seeds)
    features_MF, true_NS = trained.features(given, estimate_NS), section.position_NS[rows]
    if trained.model.shared_frame:
        return features_MF, np.linalg.norm(np.asarray(estimate_NS - true_NS, np.float64), axis=1)
    aligned_NS = kabsch(estimate_NS, true_NS, reflection=True).apply(estimate_NS)
    return features_MF, np.linalg.norm(aligned_NS - true_NS, axis=1)
