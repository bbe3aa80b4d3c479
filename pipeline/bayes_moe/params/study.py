"""A study of `bayes_moe.studies`: images to classify, and out-of-distribution ones."""

from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.params.study import Study as AnyStudy

PHOTOGRAPHS = Ingest(path="data/embedded/photographs.yaml")


class Study(AnyStudy):
    ingest: Ingest
    ingest_ood: Ingest = PHOTOGRAPHS
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()
