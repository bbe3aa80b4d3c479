"""Section `vae`."""

from typing import Literal

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import Count, NotNegative, Share, Widths


class Vae(Optimisation):
    latent_intrinsic: Count
    latent_technical: Count
    hidden: Widths
    decoder_hidden: list[Count]
    decoder_link: Literal["exponential", "softplus"]
    covariate_embedding: Count
    covariate_dropout: Share
    kl_weight: NotNegative
    batch_weight: NotNegative
