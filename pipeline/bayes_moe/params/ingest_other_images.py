"""Section `ingest.other_images`: pictures of another kind, which a classifier should not be sure about."""

from pipeline.bayes_moe.params.pictures import Pictures


class IngestOtherImages(Pictures):
    pass
