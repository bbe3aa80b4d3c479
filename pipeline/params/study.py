"""What the studies of all systems share, and how a study's settings are laid over those of its system."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import model_validator

from pipeline.core.nested import leaves
from pipeline.params.section import Section, Seeds, Text

_ABSENT = object()
REPLACED = "points"  # a study that lists points trains only these; every other mapping is merged key by key


class Study(Section):
    """A data set of a system, how it is split, its seeds, and the settings that differ from the system's.

    In params.yaml a study's own sections, such as `vae`, hold only what differs; once read they are complete.
    """

    title: Text | None = None  # in the report; None: the name of the study
    seeds: Seeds = [0]

    gathers: ClassVar[str] = "sweep"  # where there are no folds: settings that tell `evaluate` what was trained

    @property
    def evaluated(self) -> bool:
        """Whether something is held out to score its models on."""
        return True

    @property
    def points(self) -> Sequence[str]:
        """Names of the models that are trained beside each other, a stage each, where there are no folds."""
        return ()

    @property
    def training_threads(self) -> int:
        """Threads of one training, in all of its processes: the most that any of its stages uses."""
        return 1

    @property
    def evaluation_threads(self) -> int:
        return self.training_threads

    @property
    def members(self) -> int:
        """Models that are trained alike with each seed, and averaged."""
        return 1

    def own_stages(self) -> Mapping[str, Mapping[str, Any]]:
        """What plan.yaml holds of this study for stages that only its system has, by the plan's key."""
        return {}

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice in seeds")
        return self


class SweepStudy(Study):
    """A study that trains the points of its `sweep` beside each other, each with all seeds in one stage."""

    @property
    def points(self) -> Sequence[str]:
        return list(self._sweep.points)

    @property
    def training_threads(self) -> int:
        return int(self._sweep.recipe.threads_in_all)

    @property
    def evaluation_threads(self) -> int:
        return int(self._sweep.recipe.threads)

    @property
    def _sweep(self) -> Any:
        return dict(self)["sweep"]  # each system's own kind


class WithStudies(Section):
    """A system: settings by stage, and studies, each of which is validated with the system's settings below its own."""

    seeded: ClassVar[tuple[str, ...]]  # dotted keys of settings that a study's `seeds` set

    @model_validator(mode="before")
    @classmethod
    def _complete_studies(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        shared = {name: section for name, section in given.items() if name != "studies"}
        cls._refuse_seeds(shared, "")
        studies = given.get("studies")
        if not isinstance(studies, dict):
            return given
        complete = {}
        for name, study in studies.items():
            complete[name] = study
            if isinstance(study, dict):
                cls._refuse_seeds(study, f"studies.{name}.")
                complete[name] = laid_over(laid_over(shared, study), cls._of_seeds(study))
        return {**given, "studies": complete}

    @classmethod
    def _refuse_seeds(cls, given: Mapping[str, Any], where: str) -> None:
        for key in cls.seeded:
            inside: Any = given
            for part in key.split("."):
                inside = inside.get(part) if isinstance(inside, dict) else None
            if inside is not None:
                raise ValueError(f"{where}{key} has no effect: give `seeds` to a study")

    @classmethod
    def _of_seeds(cls, study: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that repeat the study's seeds: a sweep trains all of them in one stage."""
        listed = "seeds" in study and "sweep.recipe.seeds" in cls.seeded
        return {"sweep": {"recipe": {"seeds": study["seeds"]}}} if listed else {}


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested mappings with changes merged in, key by key; `points` are replaced as a whole."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and key != REPLACED:
            value = laid_over(below, value)
        merged[key] = value
    return merged


def own_settings(study: Study, system: WithStudies) -> dict[str, Any]:
    """Settings of a study that differ from its system's, or that only a study has, by dotted key.

    Without its title, split and seeds, and the path of its data.
    """
    shared = dict(leaves(system.model_dump(mode="json", exclude={"studies"})))
    listed = {name for name in study.model_fields_set if name not in ("title", "seeds", "held_out")}
    given = dict(leaves(study.model_dump(mode="json", include=listed, exclude_unset=True)))
    aside = ("ingest.path", *system.seeded)
    own = {key: value for key, value in given.items() if key not in aside and shared.get(key, _ABSENT) != value}
    points = dict.fromkeys(key.split(".")[2] for key in shared if key.startswith(f"sweep.{REPLACED}."))
    return own if set(study.points) == set(points) else {**own, f"sweep.{REPLACED}": list(study.points)}
