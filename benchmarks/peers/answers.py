"""The peers' programs, each run by its own Python in a process of its own, and what they predict as methods.

B: cells; G: genes.
"""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group
from pipeline.cfm_vc.model.question import Method, Prediction, Question, shifted

HERE = Path(__file__).resolve().parent
PEERS = {"scgen": "scGen", "cellflow": "CellFlow"}  # folders here, and what their rows are called
CHANGE = "CellFlow's change added to control cells"


@dataclass(frozen=True)
class Answers:
    """What one peer predicted: cells of every group (B, G) and, of a peer that tells it, its mean change (G,).

    versions: of its packages; trained: how long, in its own words.
    """

    population: dict[Group, npt.NDArray[np.float32]]
    change: dict[Group, npt.NDArray[np.float64]]
    versions: dict[str, str]
    trained: str

    def methods(self, name: str) -> dict[str, Method]:
        """Its cells as they are and, where it tells its change, the control cells plus this change."""

        def cells(question: Question) -> Prediction:
            population_BG = self.population[question.group]
            return Prediction(population_BG.mean(axis=0, dtype=np.float64), population_BG)

        def added(question: Question) -> Prediction:
            return shifted(question, self.change[question.group])

        return {name: cells, CHANGE: added} if self.change else {name: cells}


def python_of(peer: str) -> Path:
    """The Python of a peer's environment; SystemExit where it has not been made."""
    python = HERE / peer / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{peer} has no environment yet: run benchmarks/peers/setup.sh {peer}")
    return python


def ask(peer: str, folder: Path, out: Path, groups: list[Group], seed: int, options: list[str]) -> Answers:
    """Have a peer train on the cells exported to `folder`, and read what it wrote to `out`.

    Its output is shown only if it fails. What is there already, of the same question and program, is read again.
    """
    question, asked = out / "question.txt", digest(peer, folder, [f"seed {seed}", *options])
    if question.exists() and question.read_text() == asked:
        return read(out, groups)
    shutil.rmtree(out, ignore_errors=True)
    command = [python_of(peer), "-I", HERE / peer / "predict.py", folder, out, "--seed", str(seed), *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    found = subprocess.run(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{found.stdout}")
    question.write_text(asked)
    return read(out, groups)


def digest(peer: str, folder: Path, options: list[str]) -> str:
    """What a peer's answers depend on: the exported cells, its program and packages, its options."""
    found = hashlib.sha256("\0".join(options).encode())
    for file in (folder / "asked.json", HERE / peer / "predict.py", HERE / peer / "requirements.txt"):
        found.update(file.read_bytes())
    return found.hexdigest()


def read(out: Path, groups: list[Group]) -> Answers:
    """What a peer wrote; nothing is unpickled."""
    about = json.loads((out / "about.json").read_text())
    files = {group: (out / f"{number}.npy", out / f"{number}_change.npy") for number, group in enumerate(groups)}
    return Answers(
        {group: np.load(cells, allow_pickle=False).astype(np.float32) for group, (cells, _) in files.items()},
        {
            group: np.load(change, allow_pickle=False).astype(np.float64)
            for group, (_, change) in files.items()
            if change.exists()
        },
        about["versions"],
        about["trained"],
    )
