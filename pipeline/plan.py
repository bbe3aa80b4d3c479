"""What params.yaml comes to: plan.yaml, the stage instances of every study, and data/settings/, what they read.

dvc.yaml makes a stage of each entry of plan.yaml, which DVC reads before it starts anything: so the plan is in git, and
the stage `code` rewrites it where it no longer fits.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json, write_text
from pipeline.core.paths import StudyPaths
from pipeline.data.input_files import separate_files
from pipeline.data.parts import FOUND
from pipeline.params.chapter import Chapter
from pipeline.params.folds import Fold
from pipeline.params.reading import read_yaml
from pipeline.params.study import WithStudies, own_settings
from pipeline.registry import Params, load_params


def _has_studies(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, WithStudies)


HEADER = "# Which stages params.yaml comes to. Written by the stage `code`: not to be edited.\n"
SYSTEMS = tuple(name for name, field in Params.model_fields.items() if _has_studies(field.annotation))
# Where a system's studies have folds, data/folds.py finds them; the others train the points of a sweep.
FOLDS: dict[str, Callable[[Any, str], dict[str, Fold]]] = {
    system: import_module(f"pipeline.{system}.data.folds").folds
    for system in SYSTEMS
    if (Path(__file__).parent / system / "data" / "folds.py").is_file()
}

Plan = dict[str, Any]
Folds = Mapping[tuple[str, str], Mapping[str, Fold]]  # by system and study
Files = Mapping[tuple[str, str], Mapping[str, Path]]  # likewise: of studies that have several, by the name of its stage


def make_plan(with_settings: bool = False) -> bool:
    """Validate params.yaml and make plan.yaml fit it; returns whether it names other stages than before.

    with_settings: write data/settings/ too, unless it does. ExpectedError where something is wrong in params.yaml, or
    folds depend on data that cannot be read, or one of several files is missing.
    """
    params = load_params()
    folds, files = folds_of_studies(params), files_of_studies(params)
    changed = refresh_plan(params, folds, files)
    if with_settings and not changed:
        _write_settings(params, folds)
    return changed


def folds_of_studies(params: Params) -> Folds:
    """The folds of every study of cells. ExpectedError where they depend on data that cannot be read."""
    return {
        (system, name): find(study, f"{system}.studies.{name}.held_out")
        for system, find in FOLDS.items()
        for name, study in getattr(params, system).studies.items()
    }


def files_of_studies(params: Params) -> Files:
    """The files of every study of cells that has several. ExpectedError where one of them is missing, or a folder."""
    return {
        (system, name): separate_files(study.ingest.path, f"{system}.studies.{name}.ingest.path")
        for system in FOLDS
        for name, study in getattr(params, system).studies.items()
    }


def plan_of(params: Params, folds: Folds, files: Files) -> Plan:
    """The entries of plan.yaml: by the key of a stage instance, what dvc.yaml fills in."""
    groups = ("studies", "folders", "files", "folds", "runs", "evaluated", "ood", "ridge", "inference")
    plan: Plan = {name: {} for name in groups}
    for system in SYSTEMS:
        of_system: dict[str, dict[str, Any]] = {"runs": {}, "points": {}}
        for name, study in getattr(params, system).studies.items():
            where = {"system": system, "study": name}
            found, several = folds.get((system, name), {}), files.get((system, name), {})
            at = StudyPaths(system, name)
            path = study.ingest.path if isinstance(study.ingest.path, str) else study.ingest.path[0]
            described = at.raw / "source.json"
            if found:
                described = StudyPaths(system, name, next(iter(found))).store / "dataset.json"
            plan["studies"][f"{system}-{name}"] = {
                **where,
                "source": at.parts.as_posix() if several else path,
                "described": described.as_posix(),
            }
            if several and {file.parent for file in several.values()} == {Path(path)}:
                plan["folders"][f"{system}-{name}"] = {**where, "source": path}
            for file, source in several.items():
                copy = replace(at, file=file).part.as_posix()  # DVC would read a name such as 1e5 as a number
                plan["files"][f"{system}-{name}-{file}"] = {**where, "source": source.as_posix(), "copy": copy}
            if study.evaluated:
                plan["evaluated"][f"{system}-{name}"] = {
                    **where,
                    "reads": f"reports/{system}/{name}/scores" if system in FOLDS else f"models/{system}/{name}",
                    "settings": "runs" if system in FOLDS else study.gathers,
                    "threads": study.evaluation_threads,
                }
            for fold, split in found.items():
                counts = (at.parts if several else at.raw / "cells.h5ad").as_posix()
                of_fold = {"fold": fold, "counts": counts, "threads": study.preprocess.workers}
                plan["folds"][f"{system}-{name}-{fold}"] = where | of_fold
                for seed in split.seeds:
                    for member in range(study.members):
                        run = replace(at, fold=fold, seed=seed, member=member)
                        written = {"model": run.model.as_posix(), "files": run.run}
                        of_run = {"study": name, "fold": fold, "seed": seed, "member": member, **written}
                        of_system["runs"][run.instance] = of_run | {"threads": study.training_threads}
                    if study.evaluated:
                        scored = {**where, "fold": fold, "seed": seed, "threads": study.evaluation_threads}
                        plan["runs"][f"{system}-{name}-{fold}-{seed}"] = scored
            if system not in FOLDS:
                for point in study.points:
                    of_point = {"study": name, "point": point, "threads": study.training_threads}
                    of_system["points"][f"{name}-{point}"] = of_point
            for kind, entry in study.own_stages().items():
                plan.setdefault(kind, {})[name] = {"study": name, **entry}
        plan[system] = {kind: entries for kind, entries in of_system.items() if (kind == "runs") == (system in FOLDS)}
    return plan


def settings_of(study: Any, folds: Mapping[str, Fold], system: WithStudies) -> dict[str, Any]:
    """What the stages of a study read: its sections, complete; preprocessing by fold; and what is to be gathered."""
    settings = study.model_dump(mode="json", exclude={"held_out", "title", "seeds", "inference"})
    if "sweep" in settings:  # as they are given: a dense point that says something of experts is refused
        points = study.sweep.points.items()
        settings["sweep"]["points"] = {
            name: point.model_dump(mode="json", exclude_unset=True) for name, point in points
        }
    of_folds = {name: list(fold.seeds) for name, fold in folds.items()}
    if folds:
        settings["preprocess"] = {name: fold.preprocess.model_dump(mode="json") for name, fold in folds.items()}
        settings["runs"] = {"folds": of_folds}
        settings["ingest_file"] = {key: value for key, value in settings["ingest"].items() if key != "path"}
    chapter = Chapter(
        title=study.title,
        folds=of_folds,
        evaluated=study.evaluated,
        inference=getattr(study, "inference", False),
        path=study.ingest.path,
        held_out=study.model_dump(mode="json").get("held_out"),
        seeds=study.seeds,
        own=own_settings(study, system),
    )
    return {**settings, "chapter": chapter.model_dump(mode="json")}


def _write_settings(params: Params, folds: Folds) -> None:
    """One JSON file per study; files of studies that are no more are removed."""
    kept = set()
    for system in SYSTEMS:
        for name, study in getattr(params, system).studies.items():
            path = StudyPaths(system, name).settings
            write_json(path, settings_of(study, folds.get((system, name), {}), getattr(params, system)))
            kept.add(path)
    for path in paths.SETTINGS.glob("*/*.json"):
        if path not in kept:
            path.unlink()


def refresh_plan(params: Params, folds: Folds, files: Files) -> bool:
    """Write plan.yaml where it no longer fits params.yaml; returns whether it names other stages than before."""
    plan, before = plan_of(params, folds, files), read_plan()
    _remove_other_parts(plan)
    if plan != before:
        text = yaml.safe_dump({"plan": plan}, sort_keys=False, default_flow_style=None, width=120)
        write_text(paths.PLAN, HEADER + text)
    return bool(_without_threads(plan) != _without_threads(before))


def _remove_other_parts(plan: Plan) -> None:
    """Remove what data/inputs/ holds of files that are no longer those of a study: its merge depends on the folder."""
    kept = {entry["copy"] for entry in plan["files"].values()}
    kept |= {(StudyPaths(of["system"], of["study"]).parts / FOUND).as_posix() for of in plan["folders"].values()}
    for path in paths.INPUTS.glob("*/*/[!.]*"):
        if path.as_posix() not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_plan(path: Path = paths.PLAN) -> Plan:
    """What plan.yaml holds; nothing where it is missing or cut."""
    try:
        content = read_yaml(path)
    except ExpectedError:
        return {}
    return dict(content.get("plan") or {}) if isinstance(content, dict) else {}


def _without_threads(plan: Any) -> Any:
    """A plan without what only Snakemake looks at."""
    if not isinstance(plan, dict):
        return plan
    return {key: _without_threads(value) for key, value in plan.items() if key != "threads"}
