"""The settings that a study's chapter lists: its data, split and seeds, and what differs from its system."""

import copy
from typing import Any

import yaml

from pipeline.core.paths import PARAMS
from pipeline.params.chapter import Chapter
from pipeline.params.study import own_settings
from pipeline.registry import Params
from pipeline.report.page import Facts
from pipeline.report.settings import study_settings

GIVEN = yaml.safe_load(PARAMS.read_text())


def own(system: str, study: dict[str, Any]) -> dict[str, Any]:
    """Of a study added to params.yaml."""
    given = copy.deepcopy(GIVEN)
    given[system]["studies"]["mine"] = study
    of_system = getattr(Params.model_validate(given), system)
    return own_settings(of_system.studies["mine"], of_system)


def facts(**settings: Any) -> dict[str, str]:
    (block,) = study_settings(Chapter(**settings), {"input_sha256": None}).blocks
    assert isinstance(block, Facts)
    return dict(block.entries)


def test_only_what_differs_from_the_system_is_a_studys_own():
    shared = GIVEN["cfm_vc"]["vae"]
    study = {
        "ingest": {"path": "cells.h5ad", "control": "ctrl"},
        "held_out": [],
        "seeds": [0, 1],
        "title": "Mine",
        "vae": {"epochs": shared["epochs"], "batch_size": shared["batch_size"] // 2},
    }
    assert own("cfm_vc", study) == {"ingest.control": "ctrl", "vae.batch_size": shared["batch_size"] // 2}


def test_seeds_are_not_listed_twice_and_fewer_points_are():
    points = GIVEN["mole"]["sweep"]["points"]
    some = {name: points[name] for name in ("dlinear", "mole_dlinear")}
    study = {"ingest": {"path": "a.csv"}, "seeds": [5, 6], "sweep": {"points": some}}
    assert own("mole", study) == {"sweep.points": list(some)}
    assert own("mole", {"ingest": {"path": "a.csv"}, "seeds": [5, 6]}) == {}


def test_what_is_given_is_listed():
    found = facts(path=["a.h5ad", "b.h5ad"], seeds=[0, 1], folds={"x": [0, 1], "y": [0, 1]}, own={"vae.epochs": 5})
    assert found == {
        "Data": "a.h5ad, b.h5ad",
        "Folds": "x, y",
        "Seeds": "0, 1",
        "Its own settings": "vae.epochs 5",
    }
    assert facts(path="a.csv")["Its own settings"].startswith("none: ")


def test_what_is_held_out_is_written_as_in_params_yaml():
    pair = {"cell_type": "B", "perturbation": "stim"}
    assert facts(held_out="each section")["Held out"] == "each section"
    assert facts(held_out=["s1", "s2"])["Held out"] == "s1, s2"
    assert facts(held_out=[pair, {"cell_type": "T", "perturbation": None}])["Held out"] == "B / stim, T"
    assert facts(held_out={"one": [pair]})["Held out"] == "one: B / stim"
    assert facts(held_out=[])["Held out"] == "nothing"
