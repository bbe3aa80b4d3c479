"""A study of `alphastomics.studies`: sections of tissue, and those or the blocks of them that are held out."""

from typing import Literal

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
    held_out: Labels | Literal["each section", "blocks"] = "blocks"
    preprocess: Preprocess = Preprocess()
    diffusion: Diffusion = Diffusion()
    evaluate: Evaluate = Evaluate()
