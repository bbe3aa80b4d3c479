"""Section `cfm_vc.vae`."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    MOST_LAYERS,
    Count,
    LearningRate,
    Megabytes,
    NotNegative,
    Positive,
    Share,
    Width,
    Widths,
)


class Vae(Optimisation):
    latent_intrinsic: Width = 16
    latent_technical: Width = 4
    hidden: Widths = [128, 128]
    decoder_hidden: Annotated[list[Width], Field(max_length=MOST_LAYERS)] = []
    decoder_link: Literal["exponential", "softplus"] = "softplus"
    covariate_embedding: Width = 8
    covariate_dropout: Share = 0.1
    kl_weight: NotNegative = 1.0
    batch_weight: NotNegative = 10.0
    learning_rate: LearningRate = 0.003
    weight_decay: NotNegative = 1e-05
    gradient_clip: Positive = 100.0
    batch_size: Count = 128
    epochs: Count = 100
    patience: Count = 10
    resident_mb: Megabytes = 1000
