"""Section `ingest.images`: the pictures to classify."""

from pipeline.bayes_moe.params.pictures import Pictures


class IngestImages(Pictures):
    pass
