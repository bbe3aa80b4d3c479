"""Names of folds, made of the labels that each holds out."""

import re
from collections.abc import Iterable


def fold_names(labels: Iterable[str]) -> dict[str, str]:
    """A fold's name, as stages and folders can have it, by label; a number tells apart those that would be the same."""
    names: dict[str, str] = {}
    for label in labels:
        name = plain = _plain(label)
        number = 2
        while name in names.values():
            name, number = f"{plain}_{number}", number + 1
        names[label] = name
    return names


def _plain(label: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:60]
    return name if name[:1].isalpha() else f"label_{name}".rstrip("_")
