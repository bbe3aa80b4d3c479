"""A study of `bayes_moe.studies`: images to classify, and out-of-distribution ones."""

from collections.abc import Mapping
from typing import Any

from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.params.study import SweepStudy

PHOTOGRAPHS = Ingest(path="data/embedded/photographs.yaml")


class Study(SweepStudy):
    ingest: Ingest
    ingest_ood: Ingest = PHOTOGRAPHS
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()

    def own_stages(self) -> Mapping[str, Mapping[str, Any]]:
        return {"ood": {"source": self.ingest_ood.path}}
