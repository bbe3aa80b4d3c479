"""Section `bayes_moe` of params.yaml: two data sets, the sweep of classifiers, and how they are compared."""

from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.params.section import Section


class BayesMoe(Section):
    ingest: Ingest
    ingest_ood: Ingest
    sweep: Sweep
    evaluate: Evaluate
