"""Every method on one held-out section: positions from expression, expression from positions, and their scores.

N: cells of the section, M: cells among which distances are scored, K: blocks of the jackknife, G: genes, S: dimensions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pipeline.alphastomics.data.sections import Section
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.decisive import CEILING, COVERAGE, MODEL
from pipeline.alphastomics.glossary import EXPR_TO_POS, POS_TO_EXPR
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.metrics.block_jackknife import BLOCKS, spatial_blocks
from pipeline.alphastomics.metrics.noise_ceiling import noise_ceiling
from pipeline.alphastomics.metrics.place_uncertainty import coverage, energy_score
from pipeline.alphastomics.metrics.placement import drawn_cells, placement_scores
from pipeline.alphastomics.metrics.spatial_expression import ExpressionScores, expression_scores
from pipeline.alphastomics.model.baselines import CONTROLS, EXPRESSION, PLACEMENT, Query, Reference
from pipeline.alphastomics.model.calibration import LEVELS
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling
from pipeline.alphastomics.model.tissue_inference import Expressed, Placed, TrainedTissue
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.metrics.glossary import Role
from pipeline.training.determinism import Purpose, torch_generator

UNTYPED, DRAW = "model_untyped", "model_draw"  # without cell types; one sample, with them
FEWEST_PER_BLOCK = 5  # cells: with fewer there is no jackknife
MOST_IN_PAIRS, MOST_EXPRESSED = 500, 3000  # cells of a section that the jackknife's scores are of

Array = npt.NDArray[np.floating]
Scores = dict[str, npt.NDArray[np.float64]]  # by metric, (1 + K,): of the section, then without each block


@dataclass(frozen=True)
class Judged:
    """One section: the model's own answers, and the scores of every method on each task."""

    section: Section
    standard_NG: Array  # measured, standardised
    placed: Placed
    expressed: Expressed
    radii: Mapping[str, Array]  # of the regions of the models' places (N, L), by method; in the frame
    aligned_NS: Array  # the model's places where its regions are: in the frame, or once aligned
    scores: Mapping[str, Mapping[str, Scores]]  # by task, then by method
    expression: Mapping[str, ExpressionScores]  # by method
    ceiling_G: Array  # of the PCC of each gene


def judge(section: Section, trained: TrainedTissue, reference: Reference, settings: Evaluate) -> Judged:
    """Put the section to every method and score the answers; controls as a whole only.

    Without a block, the same answers are scored on the cells that are left, so what the blocks say holds for the
    trained model: other cells, not another training. In a section of more cells the jackknife's scores of distances are
    of `MOST_IN_PAIRS` drawn cells (its neighbours are among all), those of expression of `MOST_EXPRESSED`, which makes
    intervals wider than they need be; one of fewer than `FEWEST_PER_BLOCK` cells a block has none.
    """
    standard_NG = expression_of(section.cells, slice(None), trained.standard)
    true_NG, true_NS, seed = trained.standard.log_normalised(standard_NG), section.position_NS, settings.seed
    cell_type_N = section.cells.cell_type
    generators = _Generators(trained, section.code, settings)

    def given(position: bool, typed: bool) -> Given:
        types_N = cell_type_N if typed else None
        if position:
            return trained.given(len(true_NG), position_NS=true_NS, cell_type_N=types_N)
        return trained.given(len(true_NG), x_NG=standard_NG, cell_type_N=types_N)

    draws, place, express = settings.draws, _sampling(settings, EXPR_TO_POS), _sampling(settings, POS_TO_EXPR)
    placed = trained.place(given(False, True), place, draws, generators())
    untyped = trained.expected_place(given(False, False), place, draws, generators())
    radii = {MODEL: placed.radius_NL, UNTYPED: untyped.radius_NL}
    query = Query(standard_NG, None, cell_type_N, seed)
    position: dict[str, Array] = {
        MODEL: placed.estimate_NS,
        UNTYPED: untyped.estimate_NS,
        DRAW: placed.draws_RNS[0],
        **{name: method(reference, query) for name, method in PLACEMENT.items()},
        **{name: control(true_NS, seed) for name, control in CONTROLS.items()},
    }
    expressed = trained.express(given(True, True), express, draws, generators())
    query = Query(None, true_NS, cell_type_N, seed)
    expression: dict[str, Array] = {
        MODEL: expressed.estimate_NG,
        UNTYPED: trained.expected_expression(given(True, False), express, draws, generators()),
        DRAW: expressed.draw_NG,
        **{name: method(reference, query) for name, method in EXPRESSION.items()},
        **{name: control(standard_NG, seed) for name, control in CONTROLS.items()},
    }
    predicted = {name: trained.standard.log_normalised(of.astype(np.float32)) for name, of in expression.items()}
    by_method = {name: expression_scores(true_NG, of, true_NS) for name, of in predicted.items()}
    kept = list(_kept(true_NS))
    pairs_M, rows_N = (drawn_cells(len(true_NS), most, seed) for most in (MOST_IN_PAIRS, MOST_EXPRESSED))

    uncertain = Uncertain(true_NS, trained.model.shared_frame)

    def honesty(method: str, rows: npt.NDArray[np.intp] | slice = slice(None)) -> dict[str, float]:
        draws_RNS = placed.draws_RNS if method == DRAW else position[method][None]
        return uncertain.scores(position[MODEL if method == DRAW else method], draws_RNS, radii.get(method), rows)

    def placements(method: str) -> Iterator[dict[str, float]]:
        yield placement_scores(true_NS, position[method], seed=seed) | honesty(method)
        for kept_N in kept if role_of(method) != "control" else ():
            scored_M = np.flatnonzero(np.isin(np.flatnonzero(kept_N), pairs_M))
            of_kept = placement_scores(true_NS[kept_N], position[method][kept_N], scored_M=scored_M)
            yield of_kept | honesty(method, np.flatnonzero(kept_N))

    def expressions(method: str) -> Iterator[dict[str, float]]:
        yield by_method[method].means()
        for kept_N in kept if role_of(method) != "control" else ():
            rows = rows_N[kept_N[rows_N]]
            if np.ptp(true_NG[rows], axis=0).any():
                yield expression_scores(true_NG[rows], predicted[method][rows], true_NS[rows]).means()

    counts_NG = section.cells.dense(slice(None)).astype(np.int64)
    ceiling_G = noise_ceiling(counts_NG, trained.standard.target, seed)
    of_all = {"pcc": np.array([ceiling_G[by_method[MODEL].varies_G].mean()])}
    scores = {
        EXPR_TO_POS: {method: _stacked(placements(method)) for method in position},
        POS_TO_EXPR: {method: _stacked(expressions(method)) for method in predicted} | {CEILING: of_all},
    }
    aligned_NS = uncertain.aligned(placed.estimate_NS, placed.estimate_NS)
    return Judged(section, standard_NG, placed, expressed, radii, aligned_NS, scores, by_method, ceiling_G)


@dataclass(frozen=True)
class Uncertain:
    """Scores of how honest the uncertainty of places is, in the frame; where none is shared, once they are aligned."""

    true_NS: Array
    shared_frame: bool

    def aligned(self, estimate_NS: Array, place_NS: Array) -> Array:
        """Places moved as the estimate has to be to lie where it should."""
        if self.shared_frame:
            return place_NS
        return kabsch(estimate_NS, self.true_NS, reflection=True).apply(place_NS)

    def scores(
        self,
        estimate_NS: Array,
        draws_RNS: Array,
        radius_NL: Array | None,
        rows: npt.NDArray[np.intp] | slice = slice(None),
    ) -> dict[str, float]:
        """Of some of the cells: the energy score over the radius of gyration, and of regions their coverage."""
        true_NS = self.true_NS[rows]
        gyration = float(np.sqrt(((true_NS - true_NS.mean(axis=0)) ** 2).sum(axis=1).mean()))
        draws_RNS = np.stack([self.aligned(estimate_NS, draw_NS)[rows] for draw_NS in draws_RNS])
        found = {"energy_score_over_gyration": energy_score(true_NS, draws_RNS) / gyration}
        if radius_NL is not None:
            covered_L = coverage(true_NS, self.aligned(estimate_NS, estimate_NS)[rows], radius_NL[rows])
            found |= {coverage_name(level): float(of) for level, of in zip(LEVELS, covered_L, strict=True)}
        return found


def coverage_name(level: float) -> str:
    """The metric of regions of this level."""
    return f"{COVERAGE}{100 * level:.0f}"


def role_of(method: str) -> Role:
    """What a method is there for."""
    if method in CONTROLS:
        return "control"
    if method == CEILING:
        return "ceiling"
    return "baseline" if method in PLACEMENT or method in EXPRESSION else "model"


def _kept(place_NS: Array) -> Iterator[npt.NDArray[np.bool_]]:
    """Which cells are left without each block, (N,)."""
    if len(place_NS) >= FEWEST_PER_BLOCK * BLOCKS:
        block_N = spatial_blocks(place_NS)
        yield from (block_N != block for block in range(BLOCKS))


def _stacked(found: Iterator[dict[str, float]]) -> Scores:
    every = list(found)
    return {metric: np.array([scores[metric] for scores in every]) for metric in every[0]}


def _sampling(settings: Evaluate, task: str) -> Sampling:
    return Sampling(
        task,  # type: ignore[arg-type]
        settings.steps,
        settings.sampler,
        settings.guidance,
        settings.neighbourhood,
    )


class _Generators:
    """A generator for each draw, the same ones for every question about a section."""

    def __init__(self, trained: TrainedTissue, section: int, settings: Evaluate) -> None:
        self.device = next(trained.model.parameters()).device
        self.section, self.settings = section, settings

    def __call__(self) -> list[torch.Generator]:
        place = (Purpose.PREDICTION, self.section)
        return [torch_generator(self.device, self.settings.seed, *place, draw) for draw in range(self.settings.draws)]
