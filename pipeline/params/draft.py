"""A study as it is drafted from its data: settings, each with its reason, and what only the user can say."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AS_GIVEN = "as given"


@dataclass(frozen=True)
class Decision:
    """A setting of the study; its key is dotted, as in `ingest.columns.batch`."""

    key: str
    value: Any
    reason: str  # in a few words


@dataclass(frozen=True)
class Question:
    """A setting that the data leave open."""

    key: str
    problem: str
    candidates: Mapping[str, str] = field(default_factory=dict)  # by the value to give, what there is to know of it


class Draft:
    """Collects decisions and questions. What the user has given is taken as it is, and neither decided nor asked."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = dict(given)
        self.decisions: list[Decision] = []
        self.questions: list[Question] = []
        self.notes: list[str] = []
        self.data = ""  # what the data are, for people

    def decide(self, key: str, value: Any, reason: str) -> Any:
        """Set a key, unless it was given; returns the value that holds."""
        if key in self.given:
            value, reason = self.given[key], AS_GIVEN
        self.decisions.append(Decision(key, value, reason))
        return value

    def ask(self, key: str, problem: str, candidates: Mapping[str, str] | None = None) -> None:
        """Leave a key to the user."""
        self.questions.append(Question(key, problem, candidates or {}))

    def settle(self) -> None:
        """Add what was given and nothing has asked for."""
        decided = {decision.key for decision in self.decisions}
        self.decisions += [Decision(key, value, AS_GIVEN) for key, value in self.given.items() if key not in decided]

    def settings(self) -> dict[str, Any]:
        """All decisions, nested. TypeError: a key below one that is a value."""
        nested: dict[str, Any] = {}
        for decision in self.decisions:
            *parents, last = decision.key.split(".")
            inside = nested
            for parent in parents:
                inside = inside.setdefault(parent, {})
                if not isinstance(inside, dict):
                    raise TypeError(f"{decision.key}: {parent!r} is one value: give all of it as one mapping")
            inside[last] = copy.deepcopy(decision.value)
        return nested
