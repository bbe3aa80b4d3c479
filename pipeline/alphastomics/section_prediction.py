"""Predictions of a trained AlphaSTomics for new sections, one after the other, in the layout of an AnnData.

N: cells, G: genes, S: spatial dimensions, R: draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from pipeline.alphastomics.data.new_tissue import NewSection, training_frames
from pipeline.alphastomics.data.standardised import Standard
from pipeline.alphastomics.model.calibration import LEVELS, SHOWN_LEVEL
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling, sample
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.data.anndata_blocks import Block
from pipeline.data.cells import Cells, Codes, Places
from pipeline.data.coordinates import Coordinates, Frame
from pipeline.training.determinism import Purpose, torch_generator

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Brought:
    """New cells, encoded for the model."""

    sections: list[NewSection]
    cell_type_N: Codes
    cells: Cells | None = None  # over the model's genes; None where expression is sampled
    found_G: npt.NDArray[np.bool_] | None = None  # which of these the input has
    place_NS: Places | None = None  # each section in its frame; None where positions are sampled


@dataclass(frozen=True)
class ExpressionByRows:
    """Standardised expression of one section, made dense for the cells asked for: all of 1,000,000 cells and 500 genes
    would be 2 GB, and several times that on the way."""

    cells: Cells
    rows_N: npt.NDArray[np.int64]  # the section's, among the cells
    standard: Standard
    found_G: npt.NDArray[np.bool_]

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., G) of rows (...) of the section, on their device."""
        asked_B = self.rows_N[rows.flatten().cpu().numpy()]
        counts_BG, library_size_B = self.cells.dense(asked_B), self.cells.library_size[asked_B]
        x_BG = self.standard.of_partial_counts(counts_BG, library_size_B, self.found_G)
        return torch.from_numpy(x_BG).view(*rows.shape, -1).to(rows.device)


class SectionAnswers:
    """The model's predictions, one section after the other."""

    def __init__(
        self,
        trained: TrainedTissue,
        frames: dict[str, Frame],
        brought: Brought,
        sampling: Sampling,
        draws: int,
        seed: int,
    ) -> None:
        """frames: of the sections that were trained on, by name."""
        self.trained, self.brought, self.sampling = trained, brought, sampling
        self.draws, self.seed = draws, seed
        self.trained_on = set(frames)
        self.notes: list[str] = []
        self.frames: list[Frame] = []
        if sampling.mode != "pos_to_expr":
            self.frames, self.notes = training_frames(brought.sections, frames)
            if not trained.model.shared_frame:
                self.notes.append("the model has no shared frame, so a tissue may be rotated or reflected")

    def placed(self, obs: "DataFrame") -> tuple["DataFrame", Iterator[Block]]:
        """Positions; computed eagerly, since they are small."""
        dimensions = self.trained.model.config.space
        estimate_NS = np.empty((len(obs), dimensions), np.float32)
        draws_NRS = np.empty((len(obs), self.draws, dimensions), np.float32)
        spread_N, radius_N = np.empty(len(obs), np.float32), np.empty(len(obs), np.float32)
        for section, frame in zip(self.brought.sections, self.frames, strict=True):
            found = self.trained.place(self._given(section), self.sampling, self.draws, self._generators())
            estimate_NS[section.rows] = frame.restored(found.estimate_NS)
            draws_NRS[section.rows] = frame.restored(found.draws_RNS).transpose(1, 0, 2)
            spread_N[section.rows] = found.spread_N * frame.scale
            radius_N[section.rows] = found.radius_NL[:, LEVELS.index(SHOWN_LEVEL)] * frame.scale
        obs = obs.copy()
        obs["spatial_spread"], obs["spatial_radius_90"] = spread_N, radius_N
        block = {"obsm/spatial": estimate_NS}
        if self.draws:
            block["obsm/spatial_draws"] = draws_NRS.reshape(len(obs), -1)
        return obs, iter([block])

    def expressed(self, obs: "DataFrame") -> tuple["DataFrame", Iterator[Block]]:
        """Expression, in one block."""
        return obs.copy(), self._expressed()

    def drawn(self, obs: "DataFrame") -> tuple["DataFrame", Iterator[Block]]:
        """Positions and expression, a block for each draw."""
        import pandas as pd

        obs = obs.copy()
        if self.draws > 1:
            several = [obs.set_axis(obs.index.astype(str) + f"-{draw}") for draw in range(1, self.draws + 1)]
            obs = pd.concat(several)
            obs["draw"] = np.repeat(np.arange(1, self.draws + 1), len(several[0]))
        return obs, self._drawn()

    def _expressed(self) -> Iterator[Block]:
        standard, cells = self.trained.standard, len(self.brought.cell_type_N)
        names = ["expression", "expression_draw", "expression_spread"][: 1 + min(self.draws, 2)]
        layers = {name: np.empty((cells, len(standard.mean_G)), np.float32) for name in names}
        for section in self.brought.sections:
            found = self.trained.express(self._given(section), self.sampling, self.draws, self._generators())
            layers["expression"][section.rows] = standard.log_normalised(found.estimate_NG)
            if self.draws:
                layers["expression_draw"][section.rows] = standard.log_normalised(found.draw_NG)
            if self.draws > 1:
                layers["expression_spread"][section.rows] = found.spread_NG * standard.deviation_G
        yield {f"layers/{name}": layer for name, layer in layers.items()}

    def _drawn(self) -> Iterator[Block]:
        standard, cells = self.trained.standard, len(self.brought.cell_type_N)
        for draw in range(self.draws):
            position_NS = np.empty((cells, self.trained.model.config.space), np.float32)
            expression_NG = np.empty((cells, len(standard.mean_G)), np.float32)
            for number, (section, frame) in enumerate(zip(self.brought.sections, self.frames, strict=True)):
                # Sections differ in nothing but their size here, so each needs a seed of its own.
                generator = self._generator(draw, number)
                found = sample(self.trained.model, self.trained.noising, self._given(section), self.sampling, generator)
                position_NS[section.rows] = frame.restored(self._framed(found.position_NS))
                expression_NG[section.rows] = standard.log_normalised(found.x_NG.cpu().numpy())
            yield {"obsm/spatial": position_NS, "layers/expression": expression_NG}

    def _framed(self, position_NS: torch.Tensor) -> Coordinates:
        """In the shared frame, or else centred over the section: a draw is centred over its first neighbourhood."""
        place_NS: Coordinates = position_NS.double().cpu().numpy()
        return place_NS if self.trained.model.shared_frame else place_NS - place_NS.mean(axis=0)

    def _given(self, section: NewSection) -> Given:
        brought, rows = self.brought, section.rows
        x_NG: ExpressionByRows | None = None
        if brought.cells is not None and brought.found_G is not None:
            x_NG = ExpressionByRows(brought.cells, rows, self.trained.standard, brought.found_G)
        return self.trained.given(
            len(rows),
            x_NG,
            None if brought.place_NS is None else brought.place_NS[rows],
            brought.cell_type_N[rows],
            self.trained.categories["section"].index(section.name) if section.name in self.trained_on else None,
        )

    def _generators(self) -> list[torch.Generator]:
        """One for each draw, or for the estimate alone; the same ones for every section: its prediction does not depend
        on the others."""
        return [self._generator(draw) for draw in range(max(self.draws, 1))]

    def _generator(self, *place: int) -> torch.Generator:
        device = next(self.trained.model.parameters()).device
        return torch_generator(device, self.seed, Purpose.PREDICTION, *place)
