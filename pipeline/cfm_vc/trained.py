"""A trained CFM-VC: predict perturbation responses, embed cells, decode latents.

    model = CfmVc.load("models/cfm_vc/pbmc/held_out/seed_0")
    predicted = model.predict(adata, "stim", cell_type="B cells")

The commands `predict`, `latent` and `decode` do the same from file to file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from pipeline.cfm_vc.data.contexts import Contexts, load_contexts
from pipeline.cfm_vc.data.dose_request import DoseRequest, doses_asked, outside_training
from pipeline.cfm_vc.data.new_latents import CONTROL, INTRINSIC, TECHNICAL, NewLatents, latents_of_anndata
from pipeline.cfm_vc.members import load_members, unfit
from pipeline.cfm_vc.model.effects import Effects, Member
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.generate import Source
from pipeline.cfm_vc.model.ode import METHODS
from pipeline.cfm_vc.model.predict import Latents, Output, decode_latents, encode_cells, predict_cells
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.model.vae import Vae
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.only_run import model_folder
from pipeline.core.provenance import commit_around, in_uns, origin_in_json
from pipeline.data.anndata_blocks import AnnDataBlocks, Block
from pipeline.data.cells import Cells
from pipeline.data.coordinates import Frame
from pipeline.data.doses import Doses
from pipeline.data.new_cells import Coded, NewCells, cells_of_anndata, match_genes, matched_blocks
from pipeline.data.obs_annotations import ObsAnnotations
from pipeline.data.unseen_categories import UnseenCategories, codes_of
from pipeline.params.allowed import check
from pipeline.params.section import Guidance, LibrarySize, Seed, Steps
from pipeline.training.determinism import Purpose, torch_generator
from pipeline.training.weights import WEIGHTS, load_model

if TYPE_CHECKING:
    from anndata import AnnData

CELLS_PER_BLOCK = 1024  # random numbers are drawn per block, so another size gives another sample


class CfmVc:
    """A VAE and the flow that was trained in its latent space; made by `load`."""

    def __init__(
        self, vae: Vae, field: FlowField, contexts: Contexts, trained: dict[str, Any], others: Sequence[Member] = ()
    ) -> None:
        self.vae, self.field, self._others = vae, field, others
        self.genes: list[str] = trained["genes"]
        self.cell_types: list[str] = trained["categories"]["cell_type"]
        self.batches: list[str] = trained["categories"]["batch"]
        self.control: str = trained["control"]
        self.doses = Doses(trained["doses"])
        self.source: Source = trained["source"]
        self.frame = Frame(**trained["spatial"]) if trained["spatial"] else None  # of spatial coordinates
        self.contexts = contexts
        self.device = vae.log_theta_G.device
        self.provenance: dict[str, Any] = trained["provenance"]

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "cpu") -> Self:
        """The models in the folders `vae`, `flow` and `contexts` of `folder` (default: that of the DAG's only run), and
        further members of the ensemble in its folders `member_1`, ...

        ExpectedError if they are missing or damaged, or the flow was trained on another VAE.
        """
        folder = model_folder("cfm_vc", folder)
        vae, vae_config = load_model(folder / "vae", Vae, torch.device(device))
        field, flow_config = load_model(folder / "flow", FlowField, torch.device(device))
        vae_sha256 = sha256(folder / "vae" / WEIGHTS)
        try:
            trained = {**vae_config, **flow_config, "genes": vae_config["genes"], "doses": flow_config["doses"]}
            of_vae, origin = vae_config["provenance"], flow_config["provenance"]
            if origin["vae_sha256"] != vae_sha256:
                raise unfit(folder)
            others = load_members(folder, torch.device(device))
            trained["provenance"] = {
                **commit_around(folder),
                "dataset_sha256": origin["dataset_sha256"],
                "vae_sha256": vae_sha256,
                "flow_sha256": sha256(folder / "flow" / WEIGHTS),
                "parameters": {"vae": of_vae["parameters"], "flow": origin["parameters"]},
                "members": 1 + len(others),
            }
            return cls(vae, field, load_contexts(folder / "contexts"), trained, others)
        except KeyError as error:
            raise ExpectedError(
                f"the models in {folder} lack {error.args[0]}: they were trained by an older version; retrain them: "
                "dvc repro --force vae_pretrain flow_train"
            ) from error

    def predict(
        self,
        adata: "AnnData",
        perturbation: str,
        dose: DoseRequest = None,
        *,
        cell_type: str | None = None,
        cell_type_column: str | None = None,
        batch: str | None = None,
        batch_column: str | None = None,
        perturbation_column: str | None = None,
        control_label: str | None = None,
        spatial: str | None = None,
        counts: str = "X",
        output: Output = "counts",
        seed: int = 0,
        steps: int = 20,
        method: str = "euler",
        guidance: float = 1.0,
    ) -> "AnnData":
        """Predict these cells under the perturbation, one predicted cell per input cell.

        adata: unperturbed cells with raw counts at `counts` (X, raw/X or layers/<name>); perturbation: a label of the
        training data, a treatment, or treatments joined by "+"; dose: of the one treatment, or {treatment: dose};
        cell_type, batch: one label for all cells, or the obs column of labels; unseen and missing labels are "unknown";
        perturbation_column: use only cells labelled `control_label` there (default: the model's control); spatial: obsm
        key of the coordinates, for a model trained with them; output: counts (int32, CSR), to which effects are sized,
        or the decoder's own means (float32); steps and method (euler, midpoint, rk4) of the solver; guidance: scales
        the perturbation's effect on the velocity field.

        The result has the model's genes, obs with the columns perturbation, cell_type and batch set, obsm X_z_int
        (predicted), X_z_int_control and X_z_tech, and uns["celldag"] with provenance and warnings. It depends only on
        the cells, their order and the seed. ExpectedError if the input does not fit.
        """
        annotations = ObsAnnotations(
            cell_type, cell_type_column, batch, batch_column, perturbation_column, control_label, spatial
        )
        new = cells_of_anndata(adata, counts)
        solution = Solution(self.source, steps, method, guidance)
        return self.predict_blocks(new, perturbation, dose, annotations, solution, output, seed).in_memory()

    def latent(
        self,
        adata: "AnnData",
        *,
        cell_type: str | None = None,
        cell_type_column: str | None = None,
        batch: str | None = None,
        batch_column: str | None = None,
        counts: str = "X",
    ) -> "AnnData":
        """The cells' latents (posterior means) in obsm X_z_int and X_z_tech; no X. Arguments as in `predict`."""
        annotations = ObsAnnotations(cell_type, cell_type_column, batch, batch_column)
        return self.latent_blocks(cells_of_anndata(adata, counts), annotations).in_memory()

    def decode(self, latents: "AnnData", library_size: float, *, output: Output = "means", seed: int = 0) -> "AnnData":
        """The latents in obsm X_z_int and X_z_tech as cells of this library size (counts over the model's genes).

        output: means (float32), or counts drawn from the negative binomial with these means (int32, CSR).
        """
        new = latents_of_anndata(latents, self.latent_dimensions)
        return self.decode_blocks(new, library_size, output=output, seed=seed).in_memory()

    def effects(self, solution: Solution) -> Effects:
        """The effects of the flow so integrated."""
        return Effects(self.vae, self.field, solution, self.contexts, self._others)

    @property
    def latent_dimensions(self) -> tuple[int, int]:
        """Dimensions of z_int and of z_tech."""
        return self.vae.config.latent_intrinsic, self.vae.config.latent_technical

    def predict_blocks(
        self,
        new: NewCells,
        perturbation: str,
        dose: DoseRequest,
        annotations: ObsAnnotations,
        solution: Solution,
        output: Output = "counts",
        seed: int = 0,
    ) -> AnnDataBlocks:
        """`predict` for cells that do not fit in memory. `solution.source` is `self.source`."""
        check(Steps, "steps", solution.steps)
        check(Guidance, "guidance", solution.guidance)
        check(Seed, "seed", seed)
        check(Output, "output", output)
        check(Literal[tuple(METHODS)], "method", solution.method)
        doses = doses_asked(self.doses, perturbation, dose)
        p_P, effects = self.doses.vector(doses), self.effects(solution)

        def made(number: int, cells: Cells) -> Block:
            generator = self._generator(seed, number)
            predicted = predict_cells(self.vae, self.field, cells, p_P, solution, effects, output, generator)
            return {
                "X": _stored(predicted.x_BG, output),
                f"obsm/{INTRINSIC}": predicted.int_BI,
                f"obsm/{CONTROL}": predicted.control.int_BI,
                f"obsm/{TECHNICAL}": predicted.control.tech_BT,
            }

        arguments = {
            "perturbation": perturbation,
            "doses": [f"{treatment}={amount:g}" for treatment, amount in doses.items()],
            "output": output,
            "seed": seed,
            **solution._asdict(),
        }
        notes = outside_training(self.doses, doses)
        return self._answer(
            "predict", new, annotations, self.genes, made, arguments, notes, {"perturbation": perturbation}
        )

    def latent_blocks(self, new: NewCells, annotations: ObsAnnotations) -> AnnDataBlocks:
        """`latent` for cells that do not fit in memory."""

        def made(_number: int, cells: Cells) -> Block:
            return _latents_stored(encode_cells(self.vae, cells))

        return self._answer("latent", new, annotations, [], made, {}, [], {})

    def decode_blocks(
        self, latents: NewLatents, library_size: float, *, output: Output = "means", seed: int = 0
    ) -> AnnDataBlocks:
        """`decode` for latents that do not fit in memory."""
        check(LibrarySize, "library_size", library_size)
        check(Seed, "seed", seed)
        check(Output, "output", output)
        names = latents.obs.index.to_numpy(object)

        def blocks() -> Iterator[Block]:
            for number, (int_BI, tech_BT) in enumerate(latents.blocks(CELLS_PER_BLOCK)):
                start = number * CELLS_PER_BLOCK
                given = Latents(int_BI, tech_BT)
                named, generator = names[start : start + len(int_BI)], self._generator(seed, number)
                x_BG = decode_latents(self.vae, given, library_size, output, generator, named)
                yield {"X": _stored(x_BG, output), **_latents_stored(given)}

        arguments = {"library_size": library_size, "output": output, "seed": seed}
        return AnnDataBlocks(
            latents.obs,
            self.genes,
            blocks(),
            lambda: in_uns(origin_in_json("decode", self.provenance, latents.origin, arguments, {}, latents.notes)),
        )

    def _answer(
        self,
        command: str,
        new: NewCells,
        annotations: ObsAnnotations,
        genes: list[str],
        made: Callable[[int, Cells], Block],
        arguments: dict[str, Any],
        notes: list[str],
        columns: dict[str, str],
    ) -> AnnDataBlocks:
        """Applies `made` to each block of the selected cells, and adds obs (with these columns) and provenance."""
        import pandas as pd

        match = match_genes(new.genes, self.genes, new.where)
        unseen = UnseenCategories(match.missing, match.extra)
        kept_N = annotations.kept(new, self.control)
        obs = new.obs[kept_N].copy()
        for name, label in columns.items():
            obs[name] = pd.Categorical([label] * len(obs))
        codes_N = {}
        for covariate, known in (("cell_type", self.cell_types), ("batch", self.batches)):
            labels = annotations.labels(new, covariate)[kept_N]
            obs[covariate] = pd.Categorical(np.where(labels == "", "unknown", labels))
            codes_N[covariate] = np.zeros(len(kept_N), np.int64)
            codes_N[covariate][kept_N] = codes_of(labels, covariate, known, unseen)
        place_NS = annotations.places(new, self.frame)
        if self.frame is not None and place_NS is None:
            notes = [*notes, 'positions treated as "unknown": none were given']
        coded = Coded(kept_N, codes_N["cell_type"], codes_N["batch"], place_NS)
        cells = matched_blocks(new, match, len(self.genes), coded, unseen, CELLS_PER_BLOCK)

        def origin() -> dict[str, Any]:
            lines = [*unseen.lines(len(self.genes)), *notes]
            stated = {name: value for name, value in asdict(annotations).items() if value is not None}
            asked = arguments | stated
            return in_uns(origin_in_json(command, self.provenance, new.origin, asked, unseen.described(), lines))

        blocks = (made(number, block) for number, block in enumerate(cells))
        return AnnDataBlocks(obs, genes, blocks, origin)

    def _generator(self, seed: int, block: int) -> torch.Generator:
        return torch_generator(self.device, seed, Purpose.PREDICTION, block)


def _stored(x_BG: npt.NDArray[np.float32], output: Output) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(x_BG.astype(np.int32)) if output == "counts" else x_BG


def _latents_stored(latents: Latents) -> dict[str, Any]:
    return {f"obsm/{INTRINSIC}": latents.int_BI, f"obsm/{TECHNICAL}": latents.tech_BT}
