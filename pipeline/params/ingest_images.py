"""Section `ingest.images`: the pictures to classify."""

from pipeline.params.pictures import Pictures


class IngestImages(Pictures):
    pass
