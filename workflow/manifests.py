"""Code manifests: which source the result of each stage depends on, one small file per stage, written by `code`.

dvc.yaml lists a stage's manifest alone: DVC would read and write again every file that it lists after every stage. A
manifest holds a hash of what each file says to Python, so that an edit of a comment, a docstring or the layout runs
nothing. A stage compares its own code with its manifest when it starts, and each module when it is imported
(`pipeline.core.manifest_imports`).
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json, write_text
from workflow.closure import Sources, module_closure, stage_module, stage_name
from workflow.lock import KEPT

FOLDER = Path("data/code")
MAKER = "code"  # the stage that writes them, which has none
DIGESTS = KEPT / "digests.json"  # of each file's digest, by the SHA-256 of its bytes: a digest takes milliseconds

Manifest = dict[str, str]  # of each file, relative to the root, the digest


class Digests:
    """Of files, a hash of what they say to Python, or of the bytes where they are not Python."""

    def __init__(self) -> None:
        self._known: dict[str, str] = read_json(DIGESTS) if DIGESTS.exists() else {}
        self.used: dict[str, str] = {}

    def of(self, file: Path) -> str:
        content = file.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if file.suffix != ".py":
            return key
        self.used[key] = self._known.get(key) or _tree_digest(ast.parse(content, str(file)))
        return self.used[key]


def stage_names() -> list[str]:
    """Every module with a `run` in a folder `stages`, as the launcher is told of it: `mole.ingest`, `report`."""
    return _stage_names(Sources())


def name_of(command: str) -> str | None:
    """The stage whose code a command of dvc.yaml runs, as `stage_names` has it; None where it has no manifest."""
    name = stage_name(command)
    return None if name == MAKER else name


def current_manifests() -> dict[str, Manifest]:
    """The manifest of every stage as the code is now. ExpectedError: a file is no valid Python."""
    return _manifests(Digests())


def write_manifests() -> None:
    """Write the manifest of every stage, and what digests the files have."""
    digests = Digests()
    for name, manifest in _manifests(digests).items():
        write_text(manifest_path(name), manifest_text(manifest))
    write_json(DIGESTS, digests.used)


def manifest_path(name: str) -> Path:
    """Where a stage's manifest lies, relative to the root."""
    return FOLDER / f"{name}.json"


def manifest_text(manifest: Manifest) -> str:
    """What a manifest's file holds."""
    return json.dumps(manifest, indent=2) + "\n"


def verified(name: str) -> Manifest:
    """A stage's manifest, once its files were found to be what it says. ExpectedError: they are not, or it is missing.

    What the stage imports is a function of these files, so no others need be looked at.
    """
    path = manifest_path(name)
    if not path.is_file():
        raise ExpectedError(f"{name}: {path} is missing, which says what code the stage depends on: run dvc repro code")
    written: Manifest = read_json(path)
    digests = Digests()
    now = {file: digests.of(Path(file)) for file in written if Path(file).is_file()}
    refuse(name, differences(written, now))
    return written


def refuse(name: str, changes: Iterable[str]) -> None:
    """ExpectedError: there are changes of a stage's code."""
    if changes := list(changes):
        raise ExpectedError(
            f"{name}: code has changed since its manifest was written: {', '.join(changes)}. The result would be filed "
            "under code that did not make it. Run the DAG again: it notes the change and runs what depends on it"
        )


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The files in which two manifests differ, and how, sorted."""
    gone = [f"{file} (gone)" for file in before if file not in now]
    new = [f"{file} (new)" for file in now if file not in before]
    return sorted([*gone, *new, *(file for file, digest in now.items() if before.get(file, digest) != digest)])


def _stage_names(sources: Sources) -> list[str]:
    folders = [Path("pipeline/stages"), *sorted(Path("pipeline").glob("*/stages"))]
    files = {
        ".".join([*folder.parts[1:-1], file.stem]): file for folder in folders for file in sorted(folder.glob("*.py"))
    }
    return [name for name, file in files.items() if name != MAKER and _has_run(sources.tree(file))]


def _has_run(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body)


def _manifests(digests: Digests) -> dict[str, Manifest]:
    sources = Sources()
    try:
        closures = {name: sorted(module_closure(stage_module(name), sources)) for name in _stage_names(sources)}
        of_file = {
            file: digests.of(Path(file)) for file in sorted({file for files in closures.values() for file in files})
        }
    except SyntaxError as error:
        raise ExpectedError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    return {name: {file: of_file[file] for file in files} for name, files in closures.items()}


def _tree_digest(tree: ast.Module) -> str:
    return hashlib.sha256(repr(_said(tree)).encode()).hexdigest()


def _said(node: Any) -> Any:
    """A syntax tree as nested lists, without docstrings and without what is empty.

    Python 3.12 and later have more empty fields, and 3.12 empty pieces of f-strings: the same code has the same hash in
    all versions.
    """
    if isinstance(node, list):
        return [_said(item) for item in node if not _is_text(item)]
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", [_said(piece) for piece in node.values if getattr(piece, "value", None) != ""]]
    if not isinstance(node, ast.AST):
        return node
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return [type(node).__name__, *([name, _said(value)] for name, value in fields)]


def _is_text(node: Any) -> bool:
    """Whether it is a string that stands as a statement: a docstring, or one beneath an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
