"""A study of `bayes_moe.studies`: images to classify, and out-of-distribution ones."""

from collections.abc import Mapping, Sequence
from typing import Any

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

    @property
    def points(self) -> Sequence[str]:
        return list(self.sweep.points)

    @property
    def training_threads(self) -> int:
        return self.sweep.recipe.threads_in_all

    @property
    def evaluation_threads(self) -> int:
        return self.sweep.recipe.threads

    def own_stages(self) -> Mapping[str, Mapping[str, Any]]:
        return {"ood": {"source": self.ingest_ood.path}}
