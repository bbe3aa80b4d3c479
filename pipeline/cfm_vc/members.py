"""The members of an ensemble: models trained alike with other random numbers, in folders of the first one's folder.

Source: Lakshminarayanan, Pritzel and Blundell (2017), "Simple and scalable predictive uncertainty estimation using deep
ensembles".
"""

from pathlib import Path
from typing import Any

import torch

from pipeline.cfm_vc.data.contexts import load_contexts
from pipeline.cfm_vc.model.effects import Member
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.vae import Vae
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.training.weights import WEIGHTS, load_model

OF_A_MEMBER = ("seed", "threads", "processes", "device")  # parameters that may differ


def member_folders(folder: Path) -> list[Path]:
    """Of the members after the first, which lies in `folder` itself."""
    numbered = [path for path in folder.glob("member_*") if path.name.removeprefix("member_").isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix("member_")))


def load_members(folder: Path, device: torch.device, members: int | None = None) -> list[Member]:
    """The members after the first, of so many in all (None: as many as there are).

    ExpectedError where one is missing, damaged, or not trained like the first.
    """
    count = 1 + len(member_folders(folder)) if members is None else members
    if count == 1:
        return []
    found = [_loaded(path, device) for path in (folder, *(folder / f"member_{n}" for n in range(1, count)))]
    for number, (_, trained_on) in enumerate(found):
        if trained_on != found[0][1]:
            raise ExpectedError(
                f"member_{number} and the model in {folder} are no members of one ensemble: they were trained on other "
                "data or with other parameters. Remove it, or train both again: dvc repro vae_pretrain flow_train"
            )
    return [member for member, _ in found[1:]]


def _loaded(folder: Path, device: torch.device) -> tuple[Member, list[Any]]:
    """A member, and what all members of an ensemble share: their data, and the parameters of both trainings."""
    vae, of_vae = load_model(folder / "vae", Vae, device)
    field, of_flow = load_model(folder / "flow", FlowField, device)
    origins = [described.get("provenance", {}) for described in (of_vae, of_flow)]
    if origins[1].get("vae_sha256") != sha256(folder / "vae" / WEIGHTS):
        raise unfit(folder)
    shared = [(origin.get("dataset_sha256"), _common(origin.get("parameters", {}))) for origin in origins]
    return Member(vae, field, load_contexts(folder / "contexts").calibration), shared


def unfit(folder: Path) -> ExpectedError:
    """Where a flow and the VAE beside it do not belong together."""
    return ExpectedError(
        f"the flow in {folder} was trained on another VAE than the one beside it; retrain it: dvc repro flow_train"
    )


def _common(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in OF_A_MEMBER}
