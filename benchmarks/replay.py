"""How many stages each past commit would have rerun for its code: by manifests, and by the files dvc.yaml listed.

    python -m benchmarks.replay --commits 100 --until COMMIT

Of each of the last commits that touch pipeline/ or workflow/ and its parent: a stage reruns where its manifest differs;
or, as before there were manifests, where the list of files in dvc.yaml differs, or the bytes of one of them. What runs
after it because its result has changed is not counted, and neither is what parameters and data change.
"""

import argparse
import hashlib
import io
import shlex
import statistics
import subprocess
import tarfile
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from workflow.closure import LAUNCHER, Sources, is_code, module_closure, module_file, stage_module
from workflow.manifests import Digests

ROOT = Path(__file__).parents[1]
Codes = dict[str, Any]  # by a stage's address, what must differ for it to run

_digests: dict[bytes, str] = {}  # of all commits, by content: a parsed file is not parsed again


def main() -> None:
    """Print the means, and each commit's two numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--until", default="HEAD", help="the last one")
    arguments = parser.parse_args()
    limits = ["--first-parent", f"-{arguments.commits}", "--format=%h", arguments.until, "--", "pipeline", "workflow"]
    commits = _git("log", *limits).decode().split()
    known: dict[str, tuple[Codes, Codes]] = {}
    reruns = []
    for commit in commits:
        parent = _git("rev-parse", "--short", f"{commit}^").decode().strip()
        for each in (parent, commit):
            if each not in known:
                known[each] = _codes(each)
        counts = [_count(*sides) for sides in zip(known[parent], known[commit], strict=True)]
        reruns.append(counts)
        print(commit, *counts, flush=True)
    manifests, lists = zip(*reruns, strict=True)
    stages = statistics.mean(len(known[commit][0]) for commit in commits)
    print(
        f"{len(commits)} commits, {stages:.1f} stages in the mean: {statistics.mean(manifests):.2f} run by manifests, "
        f"{statistics.mean(lists):.2f} by lists of files"
    )


def _codes(commit: str) -> tuple[Codes, Codes]:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, cwd=ROOT))) as archive:
            archive.extractall(filter="data")
        stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
        params = yaml.safe_load(Path("params.yaml").read_text())
        manifests: Codes = {}
        lists: Codes = {}
        sources = Sources()
        for name, entry in stages.items():
            for key in _keys(entry.get("foreach"), params):
                address = f"{name}@{key}" if key else name
                filled = {of: _filled(entry.get("do", entry).get(of), key) for of in ("cmd", "deps")}
                files = {file for module in _modules(filled["cmd"]) for file in module_closure(module, sources)}
                manifests[address] = {file: _digest(Path(file)) for file in files}
                lists[address] = {dep: _sha256(Path(dep)) for dep in filled["deps"] if is_code(dep)}
        return manifests, lists


def _modules(command: str) -> list[str]:
    """Modules that a command starts, at any commit: of `python -m pipeline.stage NAME [KEY]` the stage's, of a package
    its `__main__` and the module that its key names."""
    words = shlex.split(command)
    if words[:2] != ["python", "-m"]:
        return []
    module, arguments = words[2], words[3:]
    if module == LAUNCHER and arguments:
        module, arguments = stage_module(arguments[0]), arguments[1:]
    if module_file(f"{module}.__main__") is None:
        return [module]
    keys = [f"{module}.{argument}" for argument in arguments]
    return [f"{module}.__main__", *(key for key in keys if module_file(key))]


def _keys(foreach: Any, params: Any) -> list[str]:
    """The keys of a `foreach`, which may name a section of params.yaml; of a stage alone, an empty one."""
    if foreach is None:
        return [""]
    if isinstance(foreach, str):
        for part in foreach.strip("${}").split("."):
            params = params[part]
        foreach = params
    return [str(key) for key in foreach]


def _filled(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_filled(item, key) for item in value]
    return str(value).replace("${key}", key).replace("${item}", key)


def _digest(file: Path) -> str:
    content = file.read_bytes()
    if content not in _digests:
        _digests[content] = Digests().of(file)
    return _digests[content]


def _sha256(path: Path) -> str:
    """Of a file, or of all files in a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _count(before: Codes, after: Codes) -> int:
    return sum(before.get(address) != code for address, code in after.items())


def _git(*arguments: str, cwd: Path | None = None) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, cwd=cwd).stdout


if __name__ == "__main__":
    main()
