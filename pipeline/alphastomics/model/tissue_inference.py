"""Inference with a trained AlphaSTomics on the cells of one section: estimates, draws and their spread.

N: cells, G: genes, S: spatial dimensions, R: draws.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.alphastomics.data.standardised import Standard
from pipeline.alphastomics.model.calibration import LEVELS, Calibration, place_features, spread_as_expected
from pipeline.alphastomics.model.combination import Combination
from pipeline.alphastomics.model.measured_cells import MeasuredCells
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising
from pipeline.alphastomics.model.procrustes_consensus import Consensus, consensus, turned_onto
from pipeline.alphastomics.model.spatial_sampler import Expression, Given, Sampled, Sampling, sample

Floats = npt.NDArray[np.float32]

CALIBRATED_FOR = ("typed", "untyped")  # cells whose type is told, and others: their errors differ
_BLOCK = 4096  # cells that measured ones are compared with at once


class Placed(NamedTuple):
    """Positions in the frame of the training sections; where none is shared, centred."""

    estimate_NS: Floats  # from noise alone: where distances are as expected
    draws_RNS: Floats  # samples: about the estimate, as far from it as its error is expected to be
    spread_N: Floats  # the expected root mean square distance of the true place from the estimate
    radius_NL: Floats  # of the ball around the estimate that holds the true place, for each of `calibration.LEVELS`


class NearPlaces(NamedTuple):
    """What measured cells of similar expression say of places; None where there are no such cells."""

    places_NKS: Floats | None  # as in `measured_cells.PLACES`
    scatter_N: Floats | None  # how scattered their places are


class Expressed(NamedTuple):
    """Standardised expression."""

    estimate_NG: Floats  # from noise alone: the expected expression
    draw_NG: Floats  # one sample; (0, G) where none was asked for, as the next
    spread_NG: Floats  # standard deviation over the draws; 0 for one


@dataclass(frozen=True)
class TrainedTissue:
    """A model with its noise schedules, standardisation and categories."""

    model: SpatialDiffusion
    noising: Noising
    standard: Standard
    categories: dict[str, list[str]]
    measured: MeasuredCells | None = None  # what estimates rest on
    combination: Mapping[str, Combination] | None = None  # by CALIBRATED_FOR; None: estimates are the network's own
    calibration: Mapping[str, Calibration] | None = None  # by CALIBRATED_FOR; None: draws are as the network's

    @classmethod
    def of(cls, model: SpatialDiffusion, config: dict[str, Any]) -> Self:
        """From what `load_model` gives."""
        standard = Standard.from_description(config["standard"])
        measured = None
        if isinstance(model, SpatialDiffusion) and model.config.measured:
            x_MG, position_MS, type_M = (
                model.get_buffer(f"measured_{name}").cpu().numpy() for name in ("x_MG", "position_MS", "type_M")
            )
            measured = MeasuredCells.of(x_MG, position_MS, type_M)
        calibration = {name: Calibration.from_description(config["calibration"][name]) for name in CALIBRATED_FOR}
        combination = None
        if measured is not None:
            combination = {name: Combination.from_description(config["combination"][name]) for name in CALIBRATED_FOR}
        noising = Noising.of(**config["noising"])
        return cls(model, noising, standard, config["categories"], measured, combination, calibration)

    def given(
        self,
        cells: int,
        x_NG: Floats | Expression | None = None,
        position_NS: npt.NDArray[np.floating] | None = None,
        cell_type_N: npt.NDArray[np.int64] | None = None,
        section: int | None = None,
    ) -> Given:
        """The conditions for so many cells, None where unknown: standardised expression, all of it or made dense row by
        row; positions in the frame of a section; codes of the model's own categories."""
        config, device = self.model.config, next(self.model.parameters()).device
        types, sections = len(self.categories["cell_type"]), len(self.categories["section"])
        position_NS = np.zeros((cells, config.space)) if position_NS is None else position_NS
        cell_type_N = np.full(cells, types) if cell_type_N is None else cell_type_N
        if isinstance(x_NG, np.ndarray):
            x_NG = torch.from_numpy(np.ascontiguousarray(x_NG, np.float32)).to(device)
        return Given(
            x_NG,
            torch.from_numpy(np.array(position_NS, np.float32)).to(device),  # a copy: a store's is read-only
            torch.from_numpy(np.ascontiguousarray(cell_type_N, np.int64)).to(device),
            sections if section is None else section,
            self.measured,
        )

    def place(self, given: Given, sampling: Sampling, draws: int, seeds: list[torch.Generator]) -> Placed:
        """Positions of cells of known expression; `seeds`: a generator for each of so many draws, for none one."""
        network_NS = self.network_place(given, sampling, seeds[: max(draws, 1)])
        placed = self._placed(given, network_NS)
        if not draws:
            return placed
        drawn = self._agreed(given, sampling, seeds[:draws])
        if self.calibration is None:
            return placed._replace(
                draws_RNS=drawn.draws_DNS.astype(np.float32), spread_N=drawn.spread_N.astype(np.float32)
            )
        estimate_NS, drawn_DNS = placed.estimate_NS.astype(np.float64), drawn.draws_DNS
        if draws == 1:  # it deviates from the network's estimate, not from a mean of draws
            drawn_DNS = np.concatenate([drawn_DNS, network_NS[None]])
        if not self.model.shared_frame:
            drawn_DNS = turned_onto(drawn_DNS, estimate_NS)
        spread_DNS = spread_as_expected(estimate_NS, drawn_DNS, placed.spread_N.astype(np.float64))
        draws_RNS = spread_DNS[:draws].astype(np.float32)
        if draws == 1:  # each of two lies the spread over √2 from their mean
            draws_RNS = placed.estimate_NS + np.float32(np.sqrt(2)) * (draws_RNS - placed.estimate_NS)
        return placed._replace(draws_RNS=draws_RNS)

    def expected_place(self, given: Given, sampling: Sampling, draws: int, seeds: list[torch.Generator]) -> Placed:
        """What `place` says without its draws, which takes one step of each."""
        return self._placed(given, self.network_place(given, sampling, seeds[:draws]))

    def _placed(self, given: Given, network_NS: Floats) -> Placed:
        """Without draws, from the network's own estimate."""
        near = self.near_places(given)
        estimate_NS = self._combined_place(given, near, network_NS)
        none = (estimate_NS[None][:0], np.zeros(len(given), np.float32), np.zeros((len(given), 0), np.float32))
        if self.calibration is None:
            return Placed(estimate_NS, *none)
        spread_N, radius_NL = self._uncertainty(given, place_features(estimate_NS, *near))
        return Placed(estimate_NS, none[0], spread_N, radius_NL)

    def near_places(self, given: Given) -> NearPlaces:
        """What measured cells of similar expression say of the cells' places; nothing where the model keeps none."""
        if given.measured is None or given.x_NG is None:
            return NearPlaces(None, None)
        blocks = [_numpy(given.x_NG[rows]) for rows in _blocks(given)]
        places = [given.measured.places(x_BG) for x_BG in blocks]
        return NearPlaces(np.concatenate(places), np.concatenate([given.measured.scatter(x_BG) for x_BG in blocks]))

    def network_place(self, given: Given, sampling: Sampling, seeds: list[torch.Generator]) -> Floats:
        """The network's own estimate, (N, S)."""
        return self._agreed(given, replace(sampling, steps=1), seeds).place_NS.astype(np.float32)

    def _combined_place(self, given: Given, near: NearPlaces, network_NS: Floats) -> Floats:
        if self.combination is None or near.places_NKS is None:
            return network_NS
        estimate_NS = np.empty_like(network_NS)
        for name, of_N in self._by_type(given):
            estimate_NS[of_N] = self.combination[name].place(network_NS[of_N], near.places_NKS[of_N])
        return estimate_NS

    def _uncertainty(self, given: Given, features_NF: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
        """The spread of each cell (N,) and the radii of its regions (N, L), as in `Placed`."""
        assert self.calibration is not None, "a model that was calibrated"
        spread_N, radius_NL = np.empty(len(given), np.float32), np.empty((len(given), len(LEVELS)), np.float32)
        for name, of_N in self._by_type(given):
            spread_N[of_N] = self.calibration[name].spread(features_NF[of_N])
            radius_NL[of_N] = self.calibration[name].radius(features_NF[of_N])
        return spread_N, radius_NL

    def _by_type(self, given: Given) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """The cells (N,) whose type is told and those whose type is not, where there are any."""
        typed_N = given.cell_type_N.cpu().numpy() < self.model.config.cell_types
        for name, of_N in zip(CALIBRATED_FOR, (typed_N, ~typed_N), strict=True):
            if of_N.any():
                yield name, of_N

    def express(self, given: Given, sampling: Sampling, draws: int, seeds: list[torch.Generator]) -> Expressed:
        """Expression of cells at known positions; memory does not grow with the number of draws."""
        network_NG = self.network_expression(given, sampling, seeds[: max(draws, 1)])
        estimate_NG = self._combined_expression(given, network_NG)
        if not draws:
            return Expressed(estimate_NG, estimate_NG[:0], estimate_NG[:0])
        mean_NG, squares_NG = self._no_expression(given), self._no_expression(given)
        for number, seed in enumerate(seeds[:draws], 1):  # Welford (1962)
            draw_NG = self._sample(given, sampling, seed).x_NG
            before_NG = draw_NG - mean_NG
            mean_NG += before_NG / number
            squares_NG += before_NG * (draw_NG - mean_NG)
        draw_about_NG = _numpy(draw_NG)
        if estimate_NG is not network_NG:  # the network's deviation, about what is expected
            draw_about_NG = draw_about_NG + (estimate_NG - network_NG)
        return Expressed(estimate_NG, draw_about_NG, _numpy((squares_NG / draws).sqrt()))

    def expected_expression(self, given: Given, sampling: Sampling, draws: int, seeds: list[torch.Generator]) -> Floats:
        """The estimate of `express` alone, (N, G), which takes one step of each draw."""
        return self._combined_expression(given, self.network_expression(given, sampling, seeds[:draws]))

    def network_expression(self, given: Given, sampling: Sampling, seeds: list[torch.Generator]) -> Floats:
        """The network's own estimate, (N, G)."""
        estimate_NG = self._no_expression(given)
        for seed in seeds:
            estimate_NG += self._sample(given, replace(sampling, steps=1), seed).x_NG / len(seeds)
        return _numpy(estimate_NG)

    def near_expression(self, given: Given, rows: Tensor) -> Floats:
        """What measured cells say of the expression of these rows, (B, K, G): as in COMBINED."""
        assert given.measured is not None, "a model that keeps measured cells"
        position_BS = _numpy(given.position_NS[rows])
        cell_type_B: npt.NDArray[np.int64] = given.cell_type_N[rows].cpu().numpy()
        of_place_BKG = given.measured.expressions(position_BS, cell_type_B)
        smooth_BKG = given.measured.type_and_place(position_BS, cell_type_B)[:, None]
        return np.concatenate([of_place_BKG, smooth_BKG, given.measured.means(cell_type_B)], axis=1)

    def _combined_expression(self, given: Given, network_NG: Floats) -> Floats:
        if self.combination is None or given.measured is None:
            return network_NG
        estimate_NG = np.empty_like(network_NG)
        for rows in _blocks(given):
            near_BKG, here = self.near_expression(given, rows), _numpy(rows)
            for name, of_N in self._by_type(given):
                of_B = of_N[here]
                combination = self.combination[name]
                estimate_NG[here[of_B]] = combination.expression(network_NG[here[of_B]], near_BKG[of_B])
        return estimate_NG

    def _agreed(self, given: Given, sampling: Sampling, seeds: list[torch.Generator]) -> Consensus:
        draws_DNS = torch.stack([self._sample(given, sampling, seed).position_NS for seed in seeds])
        return consensus(_numpy(draws_DNS), free=not self.model.shared_frame)

    def _no_expression(self, given: Given) -> Tensor:
        return given.position_NS.new_zeros(len(given), self.model.config.genes)

    def _sample(self, given: Given, sampling: Sampling, generator: torch.Generator) -> Sampled:
        return sample(self.model, self.noising, given, sampling, generator)


def _blocks(given: Given) -> Iterator[Tensor]:
    """Rows of the cells, some at a time."""
    for start in range(0, len(given), _BLOCK):
        yield torch.arange(start, min(start + _BLOCK, len(given)), device=given.cell_type_N.device)


def _numpy(value: Tensor) -> Floats:
    array: Floats = value.cpu().numpy()
    return array
