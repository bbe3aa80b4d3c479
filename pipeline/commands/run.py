"""`celldag run [STUDY ...]`: plan, then run studies up to their pages, by DVC or, in parallel, by Snakemake."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.wording import did_you_mean
from pipeline.data.file_kind import file_kind
from pipeline.plan import SYSTEMS, make_plan
from pipeline.registry import Params, load_params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", nargs="*", metavar="STUDY", help="such as kang, or cfm_vc-kang; without one, all and the report"
    )
    parser.add_argument("--cores", metavar="N", help="run stages in parallel by Snakemake, on N cores or on all")


def run(arguments: argparse.Namespace) -> None:
    """Run, and say where the pages are. ExpectedError where a study is unknown, or a stage fails."""
    cores = arguments.cores
    if cores is not None and cores != "all" and not (cores.isascii() and cores.isdigit() and int(cores)):
        raise ExpectedError(f"--cores {cores}: expected a whole number from 1 on, or all")
    params = load_params()
    known = {f"{system}-{name}": (system, name) for system in SYSTEMS for name in getattr(params, system).studies}
    studies = [StudyPaths(*found) for found in select(arguments.study, known)]
    _refuse_missing_inputs(params, studies or [StudyPaths(*found) for found in known.values()])
    make_plan()
    targets = [f"chapter@{study.system}-{study.study}" for study in studies]
    _call(_by_dvc(targets, arguments.quiet) if cores is None else _by_snakemake(targets, cores, arguments.quiet))
    for page in [study.page for study in studies] or [paths.REPORT]:
        print(f"open {page}")


def select(names: Iterable[str], listed: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    """System and name of each of these studies, of those listed by key. ExpectedError where one is unknown, or names
    studies of several systems."""
    found: list[tuple[str, str]] = []
    for name in names:
        of_name = [both for key, both in listed.items() if name in (key, both[1])]
        if len(of_name) > 1:
            raise ExpectedError(f"several studies are called {name}: say {' or '.join(map('-'.join, of_name))}")
        if not of_name:
            known = [both[1] for both in listed.values()]
            near = next((one for one in known if one.startswith(f"{name}_")), name)
            advice = did_you_mean(near, [*known, *listed], f"there are {', '.join(known) or 'none'}")
            raise ExpectedError(f"no study {name!r} in {paths.PARAMS}; {advice}")
        found += [both for both in of_name if both not in found]
    return found


def _refuse_missing_inputs(params: Params, studies: Iterable[StudyPaths]) -> None:
    """ExpectedError where the data of one of the studies is not there: DVC would name the path, but no setting."""
    for at in studies:
        study = getattr(params, at.system).studies[at.study]
        sections = {name: value for name, value in study if isinstance(getattr(value, "path", None), str | list)}
        for name, section in sections.items():
            for path in [section.path] if isinstance(section.path, str) else section.path:
                try:
                    file_kind(Path(path))
                except ExpectedError as error:
                    raise ExpectedError(f"{at.key}.{name}.path: {error}") from error


def _by_dvc(targets: list[str], quiet: bool) -> list[str]:
    from workflow.repair import repair

    for line in repair().done:
        print(line, file=sys.stderr)
    return ["dvc", "repro", *(["--quiet"] if quiet else []), *targets]


def _by_snakemake(targets: list[str], cores: str, quiet: bool) -> list[str]:
    from workflow.stamps import stamp_path

    stamps = [stamp_path(target) for target in targets]  # Snakemake sees these outputs; it repairs by itself
    return ["snakemake", "--cores", cores, *(["--quiet", "all"] if quiet else []), "--", *stamps]


def _call(command: list[str]) -> None:
    """Run a program of this environment, to which Ctrl-C goes, too."""
    beside = Path(sys.executable).parent
    environment = os.environ | {"PATH": os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)])}
    shown = shlex.join(command)
    print(shown, flush=True)
    ended = subprocess.run([sys.executable, "-m", *command], env=environment, check=False)
    if ended.returncode:
        raise ExpectedError(
            f"{shown} failed, see above. What has finished is kept: once the cause is gone, the same command goes on "
            "from there"
        )
