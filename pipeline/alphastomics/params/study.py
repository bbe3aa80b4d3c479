"""A study of `alphastomics.studies`: sections of tissue, and those or the blocks of them that are held out."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.alphastomics.params.preprocess import Preprocess
from pipeline.params.label import Labels
from pipeline.params.study import Study as AnyStudy

EACH, BLOCKS = "each section", "blocks"


class Study(AnyStudy):
    """held_out: sections that are held out together, every section in turn, or blocks of every section, which each of
    the `seeds` draws anew."""

    ingest: Ingest
    held_out: Annotated[
        Annotated[Labels, Tag("(list)")] | Annotated[Literal["each section", "blocks"], Tag("(plain)")],
        Discriminator(lambda value: "(list)" if isinstance(value, list) else "(plain)"),
    ] = "blocks"
    preprocess: Preprocess = Preprocess()
    diffusion: Diffusion = Diffusion()
    evaluate: Evaluate = Evaluate()

    @property
    def training_threads(self) -> int:
        return self.diffusion.threads_in_all

    @property
    def evaluation_threads(self) -> int:
        return self.evaluate.threads
