"""The folds of a study: which groups each holds out, and the settings that its preprocessing gets."""

from collections.abc import Mapping
from typing import Any

from pipeline.cfm_vc.params.preprocess import FoldPreprocess
from pipeline.cfm_vc.params.study import Study
from pipeline.data.in_turn import labels_in_files
from pipeline.data.input_files import input_files
from pipeline.params.fold_names import fold_names
from pipeline.params.folds import Fold

ALL, TOGETHER = "all_cells", "held_out"


def folds(study: Study, key: str) -> dict[str, Fold]:
    """By name. ExpectedError where each cell type is held out in turn and the data cannot be read."""
    if isinstance(study.held_out, str):
        files = input_files(study.ingest.path, key).files
        names = fold_names(labels_in_files(files, study.ingest.columns.cell_type, key))
        held_out: Mapping[str, Any] = {name: [{"cell_type": label}] for label, name in names.items()}
    elif isinstance(study.held_out, list):
        held_out = {TOGETHER if study.held_out else ALL: [pair.model_dump() for pair in study.held_out]}
    else:
        held_out = {name: [pair.model_dump() for pair in pairs] for name, pairs in study.held_out.items()}
    shared = study.preprocess.model_dump()
    return {
        name: Fold(FoldPreprocess.model_validate({**shared, "held_out": pairs}), study.seeds)
        for name, pairs in held_out.items()
    }
