"""Code manifests: the source files each stage depends on, one small file per stage, written by `code`.

dvc.yaml lists only a stage's manifest, since DVC rereads and rewrites every listed file after every stage. A manifest
holds a hash of the syntax tree of each file, so that edits of comments, docstrings or formatting rerun nothing. A stage
checks its code against its manifest when it starts, and each module when it is imported
(`pipeline.core.manifest_imports`).
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json, write_text
from workflow.closure import Sources, does_something, module_closure, stage_module, stage_name
from workflow.lock import KEPT

FOLDER = Path("data/code")
MAKER = "code"  # the stage that writes them; it has no manifest
DIGESTS = KEPT / "digests.json"  # cache of digests by the SHA-256 of a file, since a digest takes milliseconds

Manifest = dict[str, str]  # digest by file, relative to the root


class Digests:
    """Hashes of files: of the syntax tree for Python, of the bytes for others."""

    def __init__(self) -> None:
        self._known: dict[str, str] = read_json(DIGESTS) if DIGESTS.exists() else {}
        self.used: dict[str, str] = {}

    def of(self, file: Path) -> str:
        content = file.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if file.suffix != ".py":
            return key
        self.used[key] = self._known.get(key) or _python_digest(content, str(file))
        return self.used[key]


def stage_names() -> list[str]:
    """Names of all stages (modules with a `run` in a folder `stages`) as the launcher takes them: `mole.ingest`,
    `report`."""
    return _stage_names(Sources())


def name_of(command: str) -> str | None:
    """The stage that a command of dvc.yaml runs, as in `stage_names`; None if it has no manifest."""
    name = stage_name(command)
    return None if name == MAKER else name


def current_manifests() -> dict[str, Manifest]:
    """The manifest of every stage for the current code. ExpectedError if a file is not valid Python."""
    return _manifests(Digests())


def write_manifests() -> None:
    """Write the manifest of every stage, and the cache of digests."""
    digests = Digests()
    for name, manifest in _manifests(digests).items():
        write_text(manifest_path(name), manifest_text(manifest))
    write_json(DIGESTS, digests.used)


def manifest_path(name: str) -> Path:
    """Path of a stage's manifest, relative to the root."""
    return FOLDER / f"{name}.json"


def manifest_text(manifest: Manifest) -> str:
    """The text of a manifest file."""
    return json.dumps(manifest, indent=2) + "\n"


def verified(name: str) -> Manifest:
    """A stage's manifest, verified. ExpectedError if it is missing, or its files have changed.

    The imports of the stage are determined by these files, and by packages that did nothing when it was written.
    """
    path = manifest_path(name)
    if not path.is_file():
        raise ExpectedError(f"{name}: its code manifest {path} is missing: run dvc repro code")
    written: Manifest = read_json(path)
    digests = Digests()
    now = {file: digests.of(Path(file)) for file in written if Path(file).is_file()}
    packages = {folder / "__init__.py" for file in written for folder in Path(file).parents[:-1]}
    for package in packages - set(map(Path, written)):
        if package.is_file() and does_something(ast.parse(package.read_bytes(), str(package))):
            now[package.as_posix()] = digests.of(package)
    refuse(name, differences(written, now))
    return written


def refuse(name: str, changes: Iterable[str]) -> None:
    """ExpectedError if there are changes of a stage's code."""
    if changes := list(changes):
        raise ExpectedError(
            f"{name}: code has changed since its manifest was written: {', '.join(changes)}. The result would be "
            "recorded with the wrong code. Run the DAG again to rerun what depends on the change"
        )


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The differences between two manifests, sorted by file."""
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


@cache  # a process that trains many networks asks for each of them
def _python_digest(content: bytes, file: str) -> str:
    return hashlib.sha256(repr(_said(ast.parse(content, file))).encode()).hexdigest()


def _said(node: Any) -> Any:
    """A syntax tree as nested lists, without docstrings and empty fields.

    Empty fields differ between Python versions (and 3.12 has empty parts of f-strings); without them, code has the same
    hash in all versions.
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
    """Whether it is a string statement: a docstring, also below an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
