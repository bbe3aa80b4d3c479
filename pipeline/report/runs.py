"""Which of a study's runs a figure or a sentence is of, in words. Of a study with one run there is nothing to say."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.params.fold_names import fold_names

Folds = Mapping[str, Sequence[int]]  # the seeds of each fold; a run is a fold and a seed


def first_run_in_words(folds: Folds, held_out: Iterable[str] = ()) -> str:
    """The run whose training stands for all: "of the fold B cells, seed 0".

    held_out: labels that folds hold out, of which their names are made.
    """
    if _runs(folds) <= 1:
        return ""
    fold, seeds = next(iter(folds.items()))
    if len(folds) == 1:
        return f"of seed {seeds[0]}"
    labels = {name: label for label, name in fold_names(held_out).items()}
    return f"of the fold {labels.get(fold, fold)}, seed {seeds[0]}"


def shown_training(folds: Folds, held_out: Iterable[str] = ()) -> str:
    """A sentence on whose training is shown."""
    which = first_run_in_words(folds, held_out)
    return which and f"Shown is the first of {_runs(folds)} trainings, that {which}."


def shown_predictions(folds: Folds, held_out: Iterable[str] = ()) -> str:
    """A sentence on whose predictions are shown, where a group was predicted with several seeds: the first's."""
    if len({seed for seeds in folds.values() for seed in seeds}) <= 1:
        return ""
    firsts = {seeds[0] for seeds in folds.values()}
    which = first_run_in_words(folds, held_out) if len(firsts) > 1 else f"of seed {firsts.pop()}"
    return f"Predictions are those {which}."


def _runs(folds: Folds) -> int:
    return sum(len(seeds) for seeds in folds.values())
