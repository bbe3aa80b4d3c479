"""The last section of a chapter: the data, the split, the seeds and the settings of its study."""

from collections.abc import Mapping
from typing import Any

from pipeline.params.chapter import Chapter
from pipeline.report.page import Facts, Section
from pipeline.report.parameters import flattened

ANCHOR = "settings"


def study_settings(settings: Chapter, dataset: Mapping[str, Any]) -> Section:
    """Of the study that the chapter is about. dataset: its dataset.json or source.json."""
    paths = [settings.path] if isinstance(settings.path, str) else settings.path or []
    sha256 = dataset.get("input_sha256")
    own = ", ".join(f"{key} {value}" for key, value in flattened(settings.own))
    facts = {
        "Data": ", ".join(paths),
        "SHA-256": sha256,
        "Held out": _held_out(settings.held_out),
        "Folds": ", ".join(settings.folds) if len(settings.folds) > 1 else "",
        "Seeds": ", ".join(map(str, settings.seeds)),
        "Its own settings": own or "none: all are those of its system, in params.yaml",
    }
    return Section("Data and settings", ANCHOR, "", [Facts([(name, text) for name, text in facts.items() if text])])


def _held_out(given: Any) -> str:
    """As in params.yaml: words, or a list of labels or groups, or several by name."""
    if isinstance(given, Mapping):
        return "; ".join(f"{name}: {_held_out(groups)}" for name, groups in given.items())
    if isinstance(given, list):
        return ", ".join(_group(item) for item in given) or "nothing"
    return given or ""


def _group(item: Any) -> str:
    return " / ".join(str(label) for label in item.values() if label) if isinstance(item, Mapping) else str(item)
