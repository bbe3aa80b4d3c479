"""`celldag add FILE`: add the studies of a YAML file to params.yaml, with their comments."""

import argparse
from pathlib import Path

from pipeline.commands.params_file import read_params_text, save, studies_of, with_studies, written_studies
from pipeline.commands.program import program
from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.params.reading import parse_yaml, read_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="studies as in params.yaml: cfm_vc: {studies: ...}")


def run(arguments: argparse.Namespace) -> None:
    """Add those that are not there yet. ExpectedError, with nothing written, where another one has a study's name."""
    text, file = read_params_text(), arguments.file
    content = read_yaml(file)  # refuses what is no YAML, or too large
    present = parse_yaml(text, str(paths.PARAMS))
    new, there, differ = [], [], []
    for study in written_studies(file.read_text(encoding="utf-8"), str(file)):
        key = f"{study.system}.studies.{study.name}"
        before = studies_of(present, study.system)
        if study.name not in before:
            new.append(study)
        elif before[study.name] == studies_of(content, study.system)[study.name]:
            there.append(key)
        else:
            differ.append(key)
    if differ:
        raise ExpectedError(
            f"{paths.PARAMS} has other studies of these names, and nothing was added: {', '.join(differ)}; rename or "
            "remove them in one of the two files"
        )
    if new:
        try:
            save(with_studies(text, new))
        except ExpectedError as error:
            raise ExpectedError(f"{error}\nNothing was added: correct {file}, such as a path in it, first") from error
    print("\n".join(f"added {study.system}.studies.{study.name}" for study in new) or "nothing to add")
    if there:
        print(f"there already: {', '.join(there)}")
    if new:
        print(f"next: {program()} run {' '.join(study.name for study in new)}")
