"""Section `cfm_vc.vae`."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import MOST_LAYERS, NotNegative, Share, Width, Widths


class Vae(Optimisation):
    latent_intrinsic: Width
    latent_technical: Width
    hidden: Widths
    decoder_hidden: Annotated[list[Width], Field(max_length=MOST_LAYERS)]
    decoder_link: Literal["exponential", "softplus"]
    covariate_embedding: Width
    covariate_dropout: Share
    kl_weight: NotNegative
    batch_weight: NotNegative
