"""Two processes train as one does: losses, gradients, results, what is written, and how they stop."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.training import fit as fit_module
from pipeline.training.agreement import mark
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.processes import Alone
from tests.training.line import KilledError, Line, Points, trained
from tests.training.objectives import OBJECTIVES, SYSTEMS, gradients, made, trained_system

ROOT = Path(__file__).parents[2]
OF_LARGEST = 1e-4  # rounding of a gradient, through two dozen layers with batch norm, over its largest entry


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes have found and written, as tests.training.together says; `one` is a checkpoint of one
    process, killed in epoch 3."""
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "CHECKPOINT_STEPS", 3)
        with pytest.raises(KilledError):
            trained(Line(kill_at=(2, 7)), checkpoints=Checkpoints(folder / "one"))
    (folder / "written").mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*launch, "-m", "tests.training.together", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (folder / "output.txt").write_text(ended.stdout)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """What each of the two has found."""
    return [torch.load(folder / f"found_{rank}.pt", weights_only=False) for rank in range(2)]


def error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest difference, over the largest entry of its tensor (or a thousandth of the largest of all)."""
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    return max(
        float((found[name] - value).abs().max()) / max(float(value.abs().max()), 1e-3 * largest)
        for name, value in expected.items()
        if value.numel()
    )


def assert_same_result(found: Any, expected: Any) -> None:
    """Weights and curves of two trainings, to rounding."""
    assert error(found[0], expected[0]) < 1e-3
    for row, row_expected in zip(found[1].curve, expected[1].curve, strict=True):
        assert row == pytest.approx(row_expected, rel=1e-4, abs=1e-5)
    assert found[1].best_epoch == expected[1].best_epoch
    assert found[1].validation == pytest.approx(expected[1].validation, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_are_those_of_one_process(found, name):
    parts, tensors = gradients(*made(name), Alone())
    for of_rank in found:
        parts_of_two, tensors_of_two = of_rank["steps"][name]
        assert parts_of_two == pytest.approx(parts, rel=1e-5, abs=1e-6)
        assert error(tensors_of_two, tensors) < OF_LARGEST
    assert all(torch.equal(found[0]["steps"][name][1][key], found[1]["steps"][name][1][key]) for key in tensors)


@pytest.mark.parametrize(
    ("left_out", "names"),
    [
        ("gradients stay apart", SYSTEMS),
        ("random numbers of its own", SYSTEMS),
        ("sums of its own", SYSTEMS[:-1]),  # of the last, a mean over windows, there are none
    ],
)
def test_what_is_left_out_is_noticed(found, left_out, names):
    """The control of the test above."""
    for name in names:
        _, tensors = gradients(*made(name), Alone())
        _, without = found[1]["controls"][left_out][name]
        assert error(without, tensors) > 100 * OF_LARGEST, name


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_training_is_that_of_one_process(found, name):
    """Minibatches of odd sizes, the last with fewer examples than there are processes."""
    expected = trained_system(name)
    for of_rank in found:
        assert_same_result(of_rank["systems"][name], expected)


def test_a_last_minibatch_of_one_example_counts_once(found):
    expected = trained(Line(points=33))
    for of_rank in found:
        assert_same_result(of_rank["three points a step"], expected)


def test_two_processes_go_on_where_one_was_killed(folder, found):
    assert_same_result(found[0]["resumed"], trained())
    assert_same_result(found[1]["resumed"], trained())
    assert "line: continues at epoch 3, step 7" in (folder / "output.txt").read_text()


def test_one_process_goes_on_where_two_were_killed(folder, found, capsys):
    assert found[0]["killed"]
    resumed = trained(checkpoints=Checkpoints(folder / "two"))
    assert "continues at epoch 3, step 7" in capsys.readouterr().out
    assert_same_result(resumed, trained())


@pytest.mark.parametrize(("where", "named"), [("spoiled", 2), ("spoiled validation", 4)])
def test_a_loss_that_is_not_finite_in_one_process_stops_both_with_one_message(found, where, named):
    message = found[0][where]
    assert found[1][where] == message
    assert "loss, error is not finite in " in message
    assert "point17" in message
    assert message.count("point") == named  # the half of the four that holds it; evaluated, all four are of one process


@pytest.mark.parametrize(
    ("what", "about"),
    [
        ("other data", "the training data: "),
        ("other later data", "the training data: "),
        ("other values", "the validation data: "),
        ("fewer later data", "the training data: "),
        ("validation spoiled in one", "the validation data: "),
        ("other later validation data", "the validation data: "),
        ("fewer validation data", "the validation data: "),
        ("other parameters", "the parameters: "),
    ],
)
def test_processes_that_disagree_stop(found, what, about):
    for of_rank in found:
        assert f"line: the 2 processes of this training disagree about {about}" in of_rank[what]


def test_files_are_written_once(folder):
    written = sorted(path.name for path in (folder / "written").iterdir())
    assert written == ["0.txt", "checkpoints_0", "folder_0"]


@pytest.mark.parametrize("change", [lambda y: y + torch.eye(5)[2], lambda y: y[[1, 0, 2, 3, 4]]])
def test_a_mark_tells_minibatches_apart(change):
    """One value changed, and two values swapped, which a sum of them would not notice."""
    y = torch.arange(5.0)
    assert mark(Points(torch.arange(5), y, y)) == mark(Points(torch.arange(5), y.clone(), y))
    assert mark(Points(torch.arange(5), y, y)) != mark(Points(torch.arange(5), y, change(y)))


def test_a_mark_tells_shapes_and_what_came_before_apart():
    y = torch.arange(6.0)
    assert mark(Points(y, y, y)) != mark(Points(y, y, y.view(2, 3)))
    assert mark(Points(y, y, y), 1) != mark(Points(y, y, y))
