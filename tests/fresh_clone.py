"""A fresh clone of this project in another folder, as a reader of README and CONTRIBUTING has one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = ("make ", "dvc ", "python -m ", "snakemake ", "accelerate ", "torchrun ", "sh ", ".venv/bin/")
FENCE = re.compile(r"(?:<!-- ([\w-]+) -->\n)?```([^\n]*)\n(.*?)```", re.DOTALL)  # its name, kind and text


# Other ways to show a command: blocks by other marks, of indented lines, or of HTML.
OTHER = re.compile(r"```|~~~|\t|<[A-Za-z]|^(> ?|[-*+] | {0,3}\d+\. )* {4,}\S", re.MULTILINE)
# A single word that is a command. By name, not by what is installed: `code` is a stage here, and a program elsewhere.
PROGRAM = re.compile(
    r"([A-Z_]+=|\./|\.venv/bin/).*"
    r"|make|dvc|git|python3?|pip|mlflow|celldag|snakemake|accelerate|torchrun|pytest|ruff|mypy|sh|bash|conda|docker|apptainer"
)


def shown_otherwise(page: str) -> list[str]:
    """Where a page, without the blocks that are known, shows something in another way."""
    text = re.sub(r"(?<!`)`[^`]+`(?!`)", "x", page)
    return [found.group() for found in OTHER.finditer(text)]


def single_words(page: str) -> set[str]:
    """Programs that the running text of a page names without an argument."""
    found = re.findall(r"(?<!`)`([^`\s]+)`(?!`)", re.sub(FENCE, "", page))
    return {word for word in found if PROGRAM.fullmatch(word)}


def commands_in_text(page: str) -> list[str]:
    """Commands in the running text of a markdown page: the first word must be one that can be run."""
    return [span for span in spans(page) if span.startswith(PROGRAMS)]


def spans(page: str) -> list[str]:
    """What may be a command, or an option of one, in the running text of a markdown page: code of several words, or
    with a dash in front."""
    found = re.findall(r"`([^`]+)`", re.sub(FENCE, "", page))
    return [span for span in dict.fromkeys(found) if re.search(r"\s|^-", span)]


def fresh_clone(folder: Path) -> Path:
    """A clone of the last commit with the working tree's tracked files over it, and this environment."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(command: str, folder: Path) -> str:
    """Run a command as a reader would, in the activated environment, and return what it printed."""
    here = ("PYTHONPATH", "CI", "PYTEST_")  # of the tests that call this
    environment = {name: value for name, value in os.environ.items() if not name.startswith(here)}
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; source .venv/bin/activate && {command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}"
    return ended.stdout
