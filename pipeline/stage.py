"""Launch a stage: `python -m pipeline.stage NAME`, as dvc.yaml does.

The stage runs in a child process, so that a crash in native code or a kill by the system still gives a message. This
process imports little, compares the stage's code with its manifest, keeps a copy of dvc.lock, and records when the
stage has succeeded. A stage that trains in several processes (`pipeline.core.rank`) asks for them, and ends as the
first of them that fails does: the others are killed, since they only wait for it.
"""

import faulthandler
import os
import re
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import psutil

from pipeline.core.children import Asked, first_to_fail, together
from pipeline.core.errors import ExpectedError
from pipeline.core.manifest_imports import import_only
from pipeline.core.parent_watchdog import any_is_gone, end_with, engine_line
from pipeline.core.rank import be_quiet, is_first, let_others_speak
from pipeline.core.signals import describe_end
from workflow.closure import module_file, stage_module
from workflow.finished import note_end, note_start
from workflow.lock import hold_until_exit, keep_copy
from workflow.manifests import MAKER, verified


def main(words: Sequence[str]) -> int:
    """Run the named stage and return its exit code: 128 plus the signal number if killed."""
    name = words[0] if words and re.fullmatch(r"(\w+\.)?\w+", words[0]) else ""
    module = stage_module(name)
    if not name or module_file(module) is None:
        print(f"error: no stage {' '.join(words) or 'is named'}: dvc.yaml lists them", file=sys.stderr)
        return 2
    try:
        manifest = None if name == MAKER else verified(name)
    except ExpectedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    line = engine_line()
    address = os.environ.get("DVC_STAGE") if line else None
    if address:
        note_start(address)
    above = [psutil.Process(), *line]

    def start(first: Callable[[], None] = lambda: None) -> int:
        child = os.fork()
        if child == 0:
            first()
            if manifest:
                import_only(name, manifest)
            _become_stage(module, words[1:], above)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the stage as well, and this process reports it
        return child

    asked = Asked()
    children = [start()]
    if address:
        try:
            keep_copy()
        except ExpectedError as error:
            os.kill(children[0], signal.SIGKILL)
            print(f"error: {error}", file=sys.stderr)
            return 2
    ended = first_to_fail(children)
    if count := asked.number():
        ended = together(count, start)
    code = ended.code
    if code < 0:
        interrupted_with_others = code == -signal.SIGINT and not is_first()
        if not any_is_gone(line) and not interrupted_with_others:  # otherwise the stage has exited with its engine
            _say_how_it_ended(address or " ".join(words), -code, ended.peak)
        return 128 - code
    if address:
        if code == 0:
            note_end(address)
        hold_until_exit()
    return code


def _become_stage(module: str, arguments: Sequence[str], above: Sequence[psutil.Process]) -> NoReturn:
    """Run the module in this process, which exits as soon as one of its ancestors does."""
    end_with(above)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # exit at once without a traceback: its outputs need no cleanup
    be_quiet()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ExpectedError as error:  # raised by an import, before the stage could catch it
        let_others_speak(error)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _say_how_it_ended(stage: str, number: int, peak: int) -> None:
    """peak: memory as the system reports it, KiB on Linux and bytes on macOS."""
    if number == signal.SIGINT:
        print(f"{stage}: interrupted; the next call resumes from its last checkpoint", file=sys.stderr)
        return
    peak_mb = peak / (2**20 if sys.platform == "darwin" else 2**10)
    print(describe_end(f"stage {stage}", number, peak_mb, f"dvc repro {stage}"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
