"""Every network of the project with the loss that it is trained by and a minibatch, small, by name.

A builder is called where it is to run: each gives an objective, whose forward takes a minibatch and a generator and
whose loss is differentiated, and the minibatch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.alphastomics.data.neighbourhoods import NeighbourhoodBatch
from pipeline.alphastomics.model.diffusion import centred
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising, SpatialObjective
from pipeline.bayes_moe.data.images import Images
from pipeline.bayes_moe.data.resident import ImageBatch
from pipeline.bayes_moe.model.classifier import ClassifierObjective
from pipeline.bayes_moe.params import sweep as moe
from pipeline.bayes_moe.stages import moe_sweep
from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.flow_matching import FlowBatch, FlowObjective
from pipeline.cfm_vc.model.vae import Vae, VaeConfig, VaeObjective
from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.mixture import ForecastObjective
from pipeline.mole.params import sweep as mole
from pipeline.mole.stages import mole_train
from pipeline.nn.moe.balance import switch
from pipeline.nn.moe.gates import GATES
from pipeline.nn.moe.layer import MixtureOfExperts
from pipeline.registry import load_params

Network = tuple[nn.Module, Any]

WIDTHS = (1, 2, 3, 4, 6, 8, 12)  # of ResNet-18's first stage: fewer channels than a vector has lanes, and odd ones


def vae(decoder_link: str) -> Network:
    cells, genes = 33, 37
    config = VaeConfig(
        genes=genes,
        cell_types=3,
        batches=2,
        latent_intrinsic=5,
        latent_technical=2,
        hidden=[17, 9],
        decoder_hidden=[7],
        decoder_link=decoder_link,  # type: ignore[arg-type]
        covariate_embedding=3,
        covariate_dropout=0.1,
        normalised_total=100.0,
    )
    model = Vae(config)
    count_BG = torch.poisson(torch.full((cells, genes), 1.5))
    count_BG[:, 0] += 1
    cell_K, gene_K = count_BG.nonzero(as_tuple=True)
    number_B = torch.arange(cells)
    batch = CountBatch(
        rows=number_B,
        x_K=count_BG[cell_K, gene_K],
        cell_K=cell_K,
        gene_K=gene_K,
        library_B=count_BG.sum(1),
        cell_type_B=number_B % 3,
        batch_B=number_B % 2,
        perturbation_B=number_B % 4,
    )
    return VaeObjective(model, kl_weight=0.5, batch_weight=0.3), batch


def flow() -> Network:
    cells = 30
    model = FlowField(
        FlowConfig(
            dimensions=5, treatments=3, cell_types=2, batches=2, hidden=[17, 9], time_embedding=4,
            covariate_embedding=3, covariate_dropout=0.1, perturbation_embedding=4, basis=3, spatial=2,
        )
    )  # fmt: skip
    dose_BP = torch.zeros(cells, 3)
    dose_BP[cells // 3 :, 1] = 1
    number_B = torch.arange(cells)
    batch = FlowBatch(
        rows=number_B,
        source_BD=torch.randn(cells, 5),
        target_BD=torch.randn(cells, 5) + 1,
        p_BP=dose_BP,
        cell_type_B=number_B % 2,
        batch_B=number_B % 2,
        group_B=number_B // 10,
        place_BS=torch.randn(cells, 2),
    )
    return FlowObjective(model, distribution_weight=0.3, perturbation_dropout=0.2), batch


def spatial(attention: str, gate: str, ffn: str, orientation: str, prediction: str) -> Network:
    neighbourhoods, cells, genes = 3, 21, 13
    config = SpatialConfig(
        genes=genes, space=2, cell_types=3, sections=2, dimensions=12, layers=2, heads=3, hidden=20,
        attention=attention, gate=gate, ffn=ffn, orientation=orientation, dropout=0.1, covariate_dropout=0.2,
    )  # type: ignore[arg-type]  # fmt: skip
    model = SpatialDiffusion(config)
    objective = SpatialObjective(
        model,
        Noising.of(50, 1.0, 2.0, prediction),
        modes={"joint": 0.4, "expr_to_pos": 0.3, "pos_to_expr": 0.3},
        noise_share=0.2,
        condition_dropout=0.1,
        position_weight=2.0,
        neighbour_weight=3.0,
        masking="random",
        masked_genes=0.4,
        masked_dimensions=0.5,
        masked_weight=0.7,
        balance_weight=0.01,
    )
    mask_BN = torch.arange(cells) < torch.tensor([cells, cells - 4, cells - 7])[:, None]
    batch = NeighbourhoodBatch(
        x_BNG=torch.randn(neighbourhoods, cells, genes) * mask_BN[..., None],
        position_BNS=centred(torch.randn(neighbourhoods, cells, 2), mask_BN),
        mask_BN=mask_BN,
        cell_type_BN=torch.arange(cells).expand(neighbourhoods, cells) % 3,
        section_B=torch.arange(neighbourhoods) % 2,
        names=[f"neighbourhood {number}" for number in range(neighbourhoods)],
    )
    return objective, batch


def classifier(width: int, size: int = 8, channels: int = 1, **point: Any) -> Network:
    """A point of the sweep as its stage makes it, memory layout and all."""
    recipe = load_params().bayes_moe.sweep.recipe.model_copy(update={"width": width, "hidden": 14})
    training = moe_sweep.Training.of(recipe, moe.Point(**point), seed=0)
    image_NHWC = np.random.default_rng(0).integers(0, 256, (26, size, size, channels)).astype(np.uint8)
    images = Images(image_NHWC, np.arange(26) % 3)
    objective = ClassifierObjective(
        moe_sweep.untrained(images, 3, training),
        shift=1,
        flip=True,
        balance=training.point.balance,
        balance_weight=training.point.balance_weight,
        z_weight=0.01,
        divergence_weight=training.point.divergence_weight,
    )
    x_BCHW = torch.from_numpy(image_NHWC.transpose(0, 3, 1, 2).copy()).float() / 255
    return objective, ImageBatch(torch.arange(26), x_BCHW, torch.arange(26) % 3)


def forecaster(**point: Any) -> Network:
    windows, channels = 19, 3
    recipe = load_params().mole.sweep.recipe.model_copy(update={"lookback": 22, "kernel": 5, "hidden": 9})
    training = mole_train.Training.of(recipe, mole.Point(**point), seed=0, horizon=7, origin=0)
    batch = WindowBatch(
        rows=torch.arange(windows),
        x_BCL=torch.randn(windows, channels, 22).cumsum(2),
        y_BCH=torch.randn(windows, channels, 7),
        mark_BF=torch.rand(windows, len(FEATURES)) - 0.5,
        stamp_B=torch.arange(windows) * 3600,
    )
    return ForecastObjective(mole_train.untrained(channels, training)), batch


class MixtureObjective(nn.Module):
    """The squared output of a mixture, and the balance of its experts."""

    def __init__(self, mixture: MixtureOfExperts) -> None:
        super().__init__()
        self.mixture = mixture

    def forward(self, x_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        y_ND, routing = self.mixture(x_ND, generator)
        return {"loss": y_ND.square().mean() + 0.1 * switch(routing)}


def mixture(dispatch: str, **changes: Any) -> Network:
    return MixtureObjective(MixtureOfExperts(7, 30, 3, 2, dispatch=dispatch, **changes)), torch.randn(45, 7)  # type: ignore[arg-type]


NETWORKS: dict[str, Callable[[], Network]] = {
    "vae, softplus": partial(vae, "softplus"),
    "vae, exponential": partial(vae, "exponential"),
    "flow field": flow,
    "spatial, softmax, dense": partial(spatial, "softmax", "none", "dense", orientation="free", prediction="x0"),
    "spatial, softmax, experts": partial(spatial, "softmax", "headwise", "moe", orientation="shared", prediction="v"),
    "spatial, linear, dense": partial(spatial, "linear", "elementwise", "dense", orientation="shared", prediction="x0"),
    "spatial, linear, experts": partial(spatial, "linear", "none", "moe", orientation="free", prediction="v"),
    **{f"classifier, dense, width {width}": partial(classifier, width) for width in WIDTHS},
    "classifier, dense, 3 channels of 15 pixels": partial(classifier, 4, size=15, channels=3),
    "classifier, dense in the block": partial(classifier, 4, place="block"),
    **{
        f"classifier, {gate} in the {place}": partial(
            classifier, 2 + 2 * number, place=place, gate=gate, experts=3, top_k=2
        )
        for number, gate in enumerate(GATES)
        for place in ("head", "block")
    },
    **{
        f"forecaster, {backbone}, {experts or 'no'} experts": partial(
            forecaster, backbone=backbone, **({"experts": experts, "top_k": 2} if experts else {})
        )
        for backbone in ("dlinear", "rlinear", "rmlp")
        for experts in (0, 3)
    },
    "mixture, sorted": partial(mixture, "sorted"),
    "mixture, padded": partial(mixture, "padded"),
    "mixture, dropping": partial(mixture, "auto", capacity_factor=0.7),
}
