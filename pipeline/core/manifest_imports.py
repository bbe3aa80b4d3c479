"""While a stage runs, refuse to import modules that are not in its manifest or differ from it.

An import comes late where a function holds it: hours into a run, its file may have been edited.
"""

import re
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder

from workflow.closure import module_file
from workflow.manifests import Digests, differences, refuse

# Loaded by name and in no manifest: a stage checks all of params.yaml, though its result depends on its section alone.
UNLISTED = re.compile(r"pipeline\.((\w+\.)?params\.|registry$)")


class ManifestFinder(MetaPathFinder):
    """Asked before the finders that load modules: it finds nothing, but can refuse."""

    def __init__(self, stage: str, manifest: Mapping[str, str]) -> None:
        self.stage, self.manifest, self.digests = stage, manifest, Digests()

    def find_spec(self, fullname: str, *_: object) -> None:
        """ExpectedError: the module's file is not what the manifest says."""
        file = module_file(fullname)
        if file is None:
            return
        name = file.as_posix()
        if name in self.manifest:
            refuse(self.stage, differences({name: self.manifest[name]}, {name: self.digests.of(file)}))
        elif file.name != "__init__.py" and not UNLISTED.match(fullname):
            refuse(self.stage, [f"{name} (new)"])  # no manifest has the __init__ of a package that does nothing


def manifest_in_force() -> Mapping[str, str] | None:
    """The manifest that the launcher has compared this process's code with; None where it has not started it."""
    allowed = imports_in_force()
    return None if allowed is None else allowed[1]


def imports_in_force() -> tuple[str, Mapping[str, str]] | None:
    """What `import_only` was called with, for processes that this one starts; None where it was not."""
    finder = next((finder for finder in sys.meta_path if isinstance(finder, ManifestFinder)), None)
    return None if finder is None else (finder.stage, finder.manifest)


def import_only(stage: str, manifest: Mapping[str, str]) -> None:
    """From here on, refuse other imports from this project."""
    sys.meta_path.insert(0, ManifestFinder(stage, manifest))
