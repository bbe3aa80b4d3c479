"""What `dvc metrics` prints: a row per decisive score, on one screen, positive gains better."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.metrics.headlines import MOST, headline, write_headlines
from pipeline.metrics.scoreboard import Estimate
from pipeline.metrics.verdict import compare
from tests.metrics.boards import DISTANCE, PEARSON, board_of

KEYS = ["score", "baseline", "gain", "gain_low", "gain_high"]


def test_a_positive_gain_is_better_whichever_way_the_metric_goes():
    found = compare(board_of({}), PEARSON)
    higher = headline(replace(found, difference=Estimate(0.1, 0.05, 0.2)))
    assert list(higher) == KEYS
    assert list(higher.values())[2:] == [0.1, 0.05, 0.2]
    lower = headline(replace(found, metric=DISTANCE, difference=Estimate(0.1, 0.05, 0.2)))
    assert list(lower.values())[2:] == [-0.1, -0.2, -0.05]
    assert headline(replace(found, difference=Estimate(0.0)))["gain_low"] is None


def test_the_folder_holds_the_headlines_of_this_run_alone(tmp_path):
    found = compare(board_of({}), PEARSON)
    write_headlines(tmp_path / "headlines", {"old": found})
    write_headlines(tmp_path / "headlines", {"pearson": found})
    assert [path.name for path in (tmp_path / "headlines").iterdir()] == ["pearson.json"]
    written = json.loads((tmp_path / "headlines/pearson.json").read_text())
    assert (list(written), written["score"]) == (KEYS, 0.5)
    with pytest.raises(ValueError, match="at most 3"):
        write_headlines(tmp_path / "headlines", dict.fromkeys("abcd", found))


def test_the_headlines_of_four_systems_fit_on_a_screen(tmp_path):
    """As DVC itself prints them, from folders that are a stage's metrics: 160 wide, 70 lines, 60 numbers."""

    def dvc(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc("init", "-q")
    systems = ["cfm_vc", "alphastomics", "bayes_moe", "mole"]
    found = compare(board_of({}), PEARSON)
    found = replace(found, model=-0.123456789, difference=Estimate(-0.123456789, -0.223456789, -0.0123456789))
    stages = {}
    for system in systems:
        folder = tmp_path / "reports" / system / "headlines"
        write_headlines(folder, {f"expr_to_pos_spearman_of_distances_{n}": found for n in range(MOST)})
        stages[system] = {"cmd": "true", "metrics": [{str(folder.relative_to(tmp_path)): {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    lines = dvc("metrics", "show").splitlines()
    assert len(lines) == 1 + MOST * len(systems)
    assert max(map(len, lines)) <= 160
    assert sum(len(line.split()) - 1 for line in lines[1:]) <= 60
    assert lines[0].split() == ["Path", *sorted(KEYS)]
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "first"], cwd=tmp_path, check=True)
    for system in systems:
        moved = replace(found, model=0.5, baseline_score=0.25, difference=Estimate(0.25, 0.2, 0.3))
        folder = tmp_path / "reports" / system / "headlines"
        write_headlines(folder, {f"expr_to_pos_spearman_of_distances_{n}": moved for n in range(MOST)})
    changed = dvc("metrics", "diff").splitlines()
    assert 60 < len(changed) <= 70
    assert max(map(len, changed)) <= 160
