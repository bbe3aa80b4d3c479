"""What the processes of a training do in the tests: started by torchrun, each writes what it finds.

python -m torch.distributed.run --nproc-per-node 2 -m tests.training.together FOLDER
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from pipeline.bayes_moe.model import batch_norm
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, write_text
from pipeline.core.rank import rank
from pipeline.nn import share
from pipeline.training import fit as fit_module
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.determinism import prepare_device
from pipeline.training.processes import Several
from tests.training.line import KilledError, Line, trained
from tests.training.objectives import OBJECTIVES, SYSTEMS, gradients, made, trained_system

CPU = torch.device("cpu")


def steps() -> dict[str, Any]:
    """A step of every objective."""
    return {name: gradients(*made(name), Several(CPU)) for name in OBJECTIVES}


def controls() -> dict[str, Any]:
    """The same with something left out, which the test has to notice."""
    found: dict[str, Any] = {"gradients stay apart": {}, "random numbers of its own": {}, "sums of its own": {}}
    for name in SYSTEMS:
        with patch.object(Several, "gathered", lambda several, losses, _: _gathered(several, losses, [])):
            found["gradients stay apart"][name] = gradients(*made(name), Several(CPU))
        with patch.object(torch.Tensor, "narrow", lambda x, axis, _, count: _narrow(x, axis, 0, count)):
            found["random numbers of its own"][name] = gradients(*made(name), Several(CPU))
        with (
            patch.object(share, "sum_over_processes", lambda x: x),
            patch.object(batch_norm, "sum_over_processes", lambda x: x),
        ):
            found["sums of its own"][name] = gradients(*made(name), Several(CPU))
    return found


_gathered = Several.gathered
_narrow = torch.Tensor.narrow


def said(action: Callable[[], Any]) -> str:
    """The expected error that it raises."""
    try:
        action()
    except ExpectedError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    prepare_device("cpu", 1)
    fit_module.CHECKPOINT_STEPS = 3
    mine = rank()
    found: dict[str, Any] = {"steps": steps(), "controls": controls()}
    found["systems"] = {name: trained_system(name) for name in SYSTEMS}
    found["three points a step"] = trained(Line(points=33))
    found["resumed"] = trained(checkpoints=Checkpoints(folder / "one"))
    try:
        trained(Line(kill_at=(2, 7)), checkpoints=Checkpoints(folder / "two"))
    except KilledError:
        found["killed"] = True
    found["spoiled"] = said(lambda: trained(Line(spoil=17)))
    found["spoiled validation"] = said(lambda: trained(validation=Line(spoil=17)))
    found["other data"] = said(lambda: trained(Line(points=40 + mine)))
    found["other values"] = said(lambda: trained(validation=Line(slope=2 + mine)))
    found["other later data"] = said(lambda: trained(Line(spoil_later=mine)))
    found["other later validation data"] = said(lambda: trained(validation=Line(spoil_later=mine)))
    found["fewer validation data"] = said(lambda: trained(validation=Line(without=mine)))
    found["validation spoiled in one"] = said(lambda: trained(validation=Line(spoil=17 if mine else None)))
    found["fewer later data"] = said(lambda: trained(Line(without=mine)))
    found["other parameters"] = said(lambda: trained(learning_rate=0.01 * (1 + mine)))
    write_text(folder / f"written/{mine}.txt", "")
    with atomic_folder(folder / f"written/folder_{mine}") as partial:
        (partial / "file").write_text("")
    Checkpoints(folder / f"written/checkpoints_{mine}").save({})
    torch.save(found, folder / f"found_{mine}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
