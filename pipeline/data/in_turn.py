"""The labels of an obs column, each of which a study holds out in turn."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed
from pipeline.data.columns import says_unknown
from pipeline.data.file_kind import is_recipe
from pipeline.data.h5ad import open_anndata
from pipeline.params.obs_column import ObsColumn


def labels_in_files(files: Sequence[Path], column: ObsColumn, key: str) -> list[str]:
    """All labels of the column in these files, sorted, without those that ingest reads as "unknown".

    key: the study's, for messages.

    ExpectedError where a file is a recipe or cannot be read, or there are fewer than two labels.
    """
    found: set[str] = set()
    for path in files:
        if is_recipe(path):
            raise ExpectedError(
                f"{key}: the labels of a recipe are known only once it is simulated: list them in held_out"
            )
        try:
            with open_anndata(path) as file:
                found |= set(file.column(column.column, column.pattern).labels)
        except ExpectedError as error:
            raise ExpectedError(f"{key}, whose labels are those of {column.column!r}: {error}") from error
    labels = sorted(label for label in found if not says_unknown(label))
    if len(labels) < 2:
        raise ExpectedError(
            f"{key}: column {column.column!r} has the labels {listed(labels) or 'none'}: to hold out each in turn "
            "takes two or more"
        )
    return labels
