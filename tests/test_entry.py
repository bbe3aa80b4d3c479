"""How a stage ends: 0, or 2 with one message for what the user can mend, or a traceback for a bug."""

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.core.entry import guarded
from pipeline.core.errors import ExpectedError

ROOT = Path(__file__).parents[1]


def run_module(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def raising(error: BaseException) -> None:
    raise error


def test_success_exits_0() -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(lambda: None)
    assert ended.value.code == 0


def test_an_expected_problem_is_one_message_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(lambda: raising(ExpectedError("no counts in X: add them")))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: no counts in X: add them\n"


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ExpectedError):
        guarded(lambda: raising(ExpectedError("no counts")), debug=True)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "permission denied"), (errno.EROFS, "read-only")],
)
def test_a_full_or_locked_disk_is_an_expected_problem(
    number: int, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(lambda: raising(OSError(number, os.strerror(number), "models/vae")))
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "models/vae" in text
    assert advice in text


def numpy_needs() -> None:
    np.zeros((10**12, 10**3))


def arrow_needs() -> None:
    pa.allocate_buffer(10**15)


def torch_needs() -> None:
    torch.zeros(10**15)


def python_needs() -> None:
    bytearray(10**15)


def a_fork_needs() -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def a_library_needs_while_it_tidies_up() -> None:
    try:
        numpy_needs()
    except MemoryError:
        raise RuntimeError("cannot close the file")  # noqa: B904


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (numpy_needs, " (Unable to allocate 7.11 PiB for an array with shape (1000000000000, 1000)"),
        (arrow_needs, " (malloc of size 1000000000000000 failed)"),
        (torch_needs, "you tried to allocate 4000000000000000 bytes"),
        (python_needs, ": free some memory"),
        (a_fork_needs, " ([Errno 12] Cannot allocate memory)"),
        (a_library_needs_while_it_tidies_up, " (Unable to allocate 7.11 PiB"),
    ],
)
def test_too_little_memory_is_an_expected_problem(
    action: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(action)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: not enough memory")
    assert said in text
    assert "run fewer stages at a time (`snakemake --cores 1`)" in text
    assert text.count("\n") == 1


def test_debug_shows_what_led_to_the_message() -> None:
    with pytest.raises(ExpectedError, match="not enough memory") as raised:
        guarded(python_needs, debug=True)
    assert isinstance(raised.value.__cause__, MemoryError)


def test_a_password_in_an_address_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        guarded(lambda: raising(ExpectedError("https://me:secret@host/a and http://me:p@ss@host/b: no such file")))
    assert capsys.readouterr().err == "error: https://host/a and http://host/b: no such file\n"


def test_an_encoding_that_lacks_a_letter_fails_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors="strict"))
    with pytest.raises(SystemExit) as ended:
        guarded(lambda: print("wrote Zellen für Müller.h5ad", flush=True))
    assert ended.value.code == 0
    assert written.getvalue() == b"wrote Zellen f\\xfcr M\\xfcller.h5ad\n"


def test_any_other_failure_is_a_bug_and_shows_itself() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        guarded(lambda: raising(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))
    with pytest.raises(FileNotFoundError):
        guarded(lambda: raising(FileNotFoundError(errno.ENOENT, "no such file", "x")))
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: raising(ZeroDivisionError()))


def test_misspelt_parameters_are_refused_before_any_work(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("latent_intrinsic", "latent_intrinsik"))
    ended = run_module(tmp_path, "pipeline.stages.code")
    assert ended.returncode == 2
    assert "params.yaml has 1 problem(s):" in ended.stderr  # though each study has the setting of its system
    assert "cfm_vc.vae.latent_intrinsik: unknown key; did you mean 'latent_intrinsic'?" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["params.yaml"]


def test_a_stage_works_on_an_instance_that_the_plan_has(tmp_path: Path) -> None:
    shutil.copy(ROOT / "plan.yaml", tmp_path)
    for given, words in (
        ([], "no instance '' of a stage of mole: plan.yaml has"),
        (["series-dlinaer"], "no instance 'series-dlinaer' of a stage of mole: did you mean 'series-dlinear'?"),
        (["../x"], "no instance '../x'"),
        (["series-dlinear", "series-rlinear"], "unexpected argument 'series-rlinear'"),
    ):
        ended = run_module(tmp_path, "pipeline.mole.stages.mole_train", *given)
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_stage_that_is_none_is_named(tmp_path: Path) -> None:
    for given in ([], ["mole.ingst"], ["../x"], ["mole.ingest.x"], ["ingest", "mole"]):
        ended = run_module(tmp_path, "pipeline.stage", *given)
        assert ended.returncode == 2
        assert ended.stderr == f"error: no stage {' '.join(given) or 'is named'}: dvc.yaml lists them\n"


def test_a_stage_of_no_study_takes_no_arguments(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    ended = run_module(tmp_path, "pipeline.stages.report", "--epochs=3")
    assert ended.returncode == 2
    assert "unexpected argument '--epochs=3'" in ended.stderr
