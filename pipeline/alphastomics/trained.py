"""Inference with a trained AlphaSTomics: positions from expression, expression from positions, or both sampled.

    tissue = Tissue.load("models/alphastomics")
    placed = tissue.sample(adata, "expr_to_pos", section_column="section")

The command `sample` does the same from file to file. N: cells, G: genes, S: spatial dimensions, R: draws.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch

from pipeline.alphastomics.data.new_tissue import framed_places, new_sections
from pipeline.alphastomics.data.sections import known_types
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.objective import MODES
from pipeline.alphastomics.model.spatial_sampler import Mode, Sampling
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.alphastomics.section_prediction import Brought, SectionAnswers
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.only_run import model_folder
from pipeline.core.provenance import commit_around, in_uns, origin_in_json
from pipeline.data.anndata_blocks import AnnDataBlocks
from pipeline.data.cells import concatenate
from pipeline.data.coordinates import Frame
from pipeline.data.new_cells import Coded, NewCells, cells_of_anndata, match_genes, matched_blocks
from pipeline.data.obs_annotations import ObsAnnotations
from pipeline.data.unseen_categories import UnseenCategories, codes_of
from pipeline.params.allowed import check
from pipeline.params.section import Draws, DrawsIfAny, Guidance, Neighbourhood, Seed, Steps
from pipeline.training.weights import WEIGHTS, load_model

if TYPE_CHECKING:
    from anndata import AnnData

DRAWS = {"expr_to_pos": 8, "pos_to_expr": 8, "joint": 1}  # by default
NEIGHBOURHOOD = 1024  # cells sampled together by default, unless the model was trained on more
LEAST_STEPS = 10
_BLOCK = 1024  # cells whose counts are read at once


@dataclass(frozen=True)
class Request:
    """What to sample, and how; see `Tissue.sample`."""

    mode: Mode
    spatial: str = "spatial"
    section_column: str | None = None
    cell_type: str | None = None
    cell_type_column: str | None = None
    draws: int | None = None  # None: those of DRAWS
    steps: int = 100
    sampler: Literal["ddim", "ddpm"] = "ddim"
    guidance: float = 1.0
    neighbourhood: int | None = None
    seed: int = 0


class Tissue:
    """A trained network and the description of its training data; made by `load`."""

    def __init__(self, trained: TrainedTissue, config: dict[str, Any], provenance: dict[str, Any]) -> None:
        self.trained, self.provenance = trained, provenance
        self.genes: list[str] = config["genes"]
        self.neighbourhood: int = config["neighbourhood"]
        self.frames = {name: Frame(**described) for name, described in config["frames"].items()}
        self.device = next(trained.model.parameters()).device

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "cpu") -> Self:
        """The model in `folder`: by default that of the DAG's only run; or of a `train` run (outputs/<name>/model).

        ExpectedError where there is none, or a file is damaged.
        """
        folder = model_folder("alphastomics", folder)
        model, config = load_model(folder, SpatialDiffusion, torch.device(device), "diffusion_train")
        try:
            provenance = {
                **commit_around(folder),
                "dataset_sha256": config["provenance"]["dataset_sha256"],
                "model_sha256": sha256(folder / WEIGHTS),
                "parameters": config["provenance"]["parameters"],
            }
            return cls(TrainedTissue.of(model, config), config, provenance)
        except KeyError as error:
            raise ExpectedError(
                f"the model in {folder} has no {error.args[0]}, so it was trained by an older version; train "
                "it again: dvc repro --force diffusion_train"
            ) from error

    def sample(
        self,
        adata: "AnnData",
        mode: Mode,
        *,
        counts: str = "X",
        spatial: str = "spatial",
        section_column: str | None = None,
        cell_type: str | None = None,
        cell_type_column: str | None = None,
        draws: int | None = None,
        steps: int = 100,
        sampler: Literal["ddim", "ddpm"] = "ddim",
        guidance: float = 1.0,
        neighbourhood: int | None = None,
        seed: int = 0,
    ) -> "AnnData":
        """Sample each section independently.

        mode: expr_to_pos, from raw counts at `counts` (X, raw/X or layers/<name>) to positions; pos_to_expr, from
        positions in obsm[spatial], in any unit (but that of training where the section is one that was trained on and
        the model has a shared frame), to expression; joint, both for as many cells as there are.
        section_column: of obs; without it all cells are one section. cell_type: one label for all cells, or the column
        of obs that holds them; labels not seen in training, and missing ones, are "unknown". draws: 8 by default; 0 for
        the estimate alone, which takes a step where a draw takes `steps`; 1 in `joint`, where each is a tissue of its
        own; steps: 10 to those of training; guidance: weight of the condition, 1
        for none; neighbourhood: the most cells sampled together; larger sections are stitched from several.

        The result has obs, the fields below, and uns["celldag"]: provenance, and what the model had not seen.
        expr_to_pos: obsm["spatial"], the estimate, and obsm["spatial_draws"] (N, R S), the draws side by side, whose
        mean is the estimate where there are several, both in the unit of the training sections; in the same unit
        obs["spatial_spread"], the distance (root mean square) at which a cell's true place is expected, as it was for
        validation cells, and obs["spatial_radius_90"], of the ball around the estimate that holds it with a probability
        of 90 %; where no frame is shared, once the section is aligned. pos_to_expr, over the model's genes,
        log(1 + counts / library size · the median library size of training): layers["expression"], the estimate,
        layers["expression_draw"], one draw, layers["expression_spread"], the standard deviation over draws, absent for
        a single one. joint: obsm["spatial"] and layers["expression"]; several draws are concatenated, numbered by
        obs["draw"].

        Genes are matched by name; a missing one is taken at its training mean, and the cell's library size as if it had
        its usual share there. The result depends on the cells, their order and the seed alone, and that of a known
        section not on the others. ExpectedError where the input does not fit.
        """
        given = (spatial, section_column, cell_type, cell_type_column)
        request = Request(mode, *given, draws, steps, sampler, guidance, neighbourhood, seed)
        new = cells_of_anndata(adata, counts if mode == "expr_to_pos" else None)
        return self.sample_blocks(new, request).in_memory()

    def sample_blocks(self, new: NewCells, request: Request) -> AnnDataBlocks:
        """`sample` for cells of a file; counts are read only to predict positions."""
        draws = self._draws(request)
        neighbourhood = request.neighbourhood or max(NEIGHBOURHOOD, self.neighbourhood)
        sampling = Sampling(request.mode, request.steps, request.sampler, request.guidance, neighbourhood)
        unseen = UnseenCategories(
            [], [], missing_are="taken at the training mean", empty_are="taken at the training mean"
        )
        brought = self._brought(new, request, unseen)
        answers = SectionAnswers(self.trained, self.frames, brought, sampling, draws, request.seed)
        if request.mode == "expr_to_pos":
            obs, blocks = answers.placed(new.obs)
        elif request.mode == "pos_to_expr":
            obs, blocks = answers.expressed(new.obs)
        else:
            obs, blocks = answers.drawn(new.obs)

        def origin() -> dict[str, Any]:
            options = asdict(request) | {"draws": draws, "neighbourhood": neighbourhood}
            stated = {name: value for name, value in options.items() if value is not None}
            genes = len(self.genes) if request.mode == "expr_to_pos" else None
            lines = [*unseen.lines(genes), *answers.notes]
            return in_uns(origin_in_json("sample", self.provenance, new.origin, stated, unseen.described(), lines))

        return AnnDataBlocks(obs, [] if request.mode == "expr_to_pos" else self.genes, blocks, origin)

    def _brought(self, new: NewCells, request: Request, unseen: UnseenCategories) -> Brought:
        sections = new_sections(new, request.section_column)
        annotations = ObsAnnotations(cell_type=request.cell_type, cell_type_column=request.cell_type_column)
        known = self.trained.categories["cell_type"]
        cell_type_N = known_types(codes_of(annotations.labels(new, "cell_type"), "cell_type", known, unseen), known)
        if request.mode == "joint":
            return Brought(sections, cell_type_N)
        if request.mode == "pos_to_expr":
            config = self.trained.model.config
            frames = self.frames if config.shared_frame else {}
            place_NS = framed_places(new, request.spatial, config.space, sections, frames)
            return Brought(sections, cell_type_N, place_NS=place_NS)
        match = match_genes(new.genes, self.genes, new.where)
        unseen.missing_genes, unseen.extra_genes = match.missing, match.extra
        every_N = np.ones(len(cell_type_N), bool)
        coded = Coded(every_N, cell_type_N, np.zeros(len(cell_type_N), np.int64), None)
        cells = concatenate(list(matched_blocks(new, match, len(self.genes), coded, unseen, _BLOCK)))
        return Brought(sections, cell_type_N, cells, ~np.isin(self.genes, match.missing))

    def _draws(self, request: Request) -> int:
        """The number of draws requested; ExpectedError for an invalid option."""
        if request.mode not in MODES:
            raise ExpectedError(f"no mode {request.mode!r}: expected one of {', '.join(MODES)}")
        draws = DRAWS[request.mode] if request.draws is None else request.draws
        most = self.trained.noising.position.steps
        check(Draws if request.mode == "joint" else DrawsIfAny, "draws", draws)
        check(Steps, "steps", request.steps)
        check(Guidance, "guidance", request.guidance)
        check(Seed, "seed", request.seed)
        if request.neighbourhood is not None:
            check(Neighbourhood, "neighbourhood", request.neighbourhood)
        if not min(LEAST_STEPS, most) <= request.steps <= most:
            raise ExpectedError(f"{request.steps:,} steps: the model was trained with {most:,}; expected 10 to as many")
        if request.guidance != 1 and request.mode == "joint":
            raise ExpectedError("guidance has no effect in mode joint, which has no condition")
        return draws
