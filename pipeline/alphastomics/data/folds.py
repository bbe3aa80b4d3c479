"""The folds of a study: which sections or blocks each holds out, and the settings that its preprocessing gets."""

from typing import Any

from pipeline.alphastomics.params.preprocess import FoldPreprocess
from pipeline.alphastomics.params.study import BLOCKS, EACH, Study
from pipeline.core.errors import ExpectedError
from pipeline.data.in_turn import labels_in_files
from pipeline.data.input_files import input_files
from pipeline.params.fold_names import fold_names
from pipeline.params.folds import Fold

TOGETHER = "held_out"


def folds(study: Study, key: str) -> dict[str, Fold]:
    """By name; where blocks are held out, one for each seed, which draws them.

    ExpectedError where each section is held out in turn and the data cannot be read.
    """
    shared = study.preprocess.model_dump()

    def fold(sections: list[str], seeds: list[int], **changed: Any) -> Fold:
        return Fold(FoldPreprocess.model_validate({**shared, **changed, "test_sections": sections}), seeds)

    if study.held_out == BLOCKS or not study.held_out:
        return {f"{BLOCKS}_{seed}": fold([], [seed], seed=seed) for seed in study.seeds}
    if study.held_out != EACH:
        return {TOGETHER: fold(list(study.held_out), study.seeds)}
    files = input_files(study.ingest.path, key).files
    if study.ingest.section is not None:
        labels = labels_in_files(files, study.ingest.section, key)
    elif len(files) > 1:
        labels = [file.stem for file in files]
    else:
        raise ExpectedError(f"{key}: {files[0]} is one section, as ingest.section is null: set held_out to {BLOCKS}")
    return {name: fold([label], study.seeds) for label, name in fold_names(labels).items()}
