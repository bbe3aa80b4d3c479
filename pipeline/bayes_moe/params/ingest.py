"""Sections `bayes_moe.ingest` and `bayes_moe.ingest_ood`: where the images are."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import FilePath, Md5, Section


class Ingest(Section):
    path: FilePath
    size: Annotated[int, Field(ge=4, le=512)] = 32
    white_level: Annotated[float, Field(gt=0, le=2**32 - 1)] | None = None
    md5: Md5 | None = None
