"""A study of `cfm_vc.studies`: perturbed cells, and the groups of them that are held out."""

from itertools import combinations, product
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.params.flow import Flow
from pipeline.cfm_vc.params.ingest import Ingest
from pipeline.cfm_vc.params.preprocess import HeldOut, HeldOutPair, Preprocess
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

    @property
    def training_threads(self) -> int:
        return max(self.vae.threads_in_all, self.flow.threads_in_all)

    @property
    def evaluation_threads(self) -> int:
        return self.evaluate.threads

    @property
    def members(self) -> int:
        return self.evaluate.members

    @model_validator(mode="after")
    def _a_group_is_scored_in_one_fold(self) -> Self:
        if not isinstance(self.held_out, dict):
            return self
        for (first, pairs), (second, others) in combinations(self.held_out.items(), 2):
            for pair, other in product(pairs, others):
                if _overlap(pair, other):
                    what = f"{pair.perturbation or other.perturbation or 'every perturbation'} in {pair.cell_type}"
                    raise ValueError(f"held_out.{first} and held_out.{second} both hold out {what}: one fold scores it")
        return self


def _overlap(pair: HeldOutPair, other: HeldOutPair) -> bool:
    under = {pair.perturbation, other.perturbation}
    return pair.cell_type == other.cell_type and (None in under or len(under) == 1)
