"""A study of `cfm_vc.studies`: perturbed cells, and the groups of them that are held out."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.params.flow import Flow
from pipeline.cfm_vc.params.ingest import Ingest
from pipeline.cfm_vc.params.preprocess import HeldOut, Preprocess
from pipeline.cfm_vc.params.vae import Vae
from pipeline.params.section import MOST_POINTS, PointName, by_form
from pipeline.params.study import Study as AnyStudy

EACH = "each cell_type"

NamedHeldOut = Annotated[HeldOut, Field(min_length=1)]  # an empty one would be a fold with nothing to score


class Study(AnyStudy):
    """held_out: groups that are held out together; several such lists by name, a fold each; or every cell type in turn,
    under all perturbations. An empty list: train on all cells and evaluate nothing."""

    ingest: Ingest
    held_out: Annotated[
        Annotated[HeldOut, Tag("(list)")]
        | Annotated[dict[PointName, NamedHeldOut], Field(max_length=MOST_POINTS), Tag("(mapping)")]
        | Annotated[Literal["each cell_type"], Tag("(plain)")],
        Discriminator(by_form),
    ]
    preprocess: Preprocess = Preprocess()
    vae: Vae = Vae()
    flow: Flow = Flow()
    evaluate: Evaluate = Evaluate()

    @property
    def evaluated(self) -> bool:
        return self.held_out != []
