"""Stages as jobs of SLURM, with programs that only say what a real one's would: tests/engines has a real one."""

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ExpectedError
from workflow import slurm, slurm_check
from workflow.failures import FOLDER as FAILURES
from workflow.run_stage import job_command
from workflow.slurm_queue import ENDED, JOBS, QUEUE, STAGES, exit_code, jobs_left, note_job, unended

ROOT = Path(__file__).parents[2]
FIRST, OTHER = "train@kang-b cells", "train@kang-0"
Say = Callable[..., None]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Have a program of SLURM print something and end with a code; in `called` it notes its arguments and input."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(name: str, text: str = "", code: int = 0, problem: str = "") -> None:
        (programs / f"{name}.out").write_text(text)
        (programs / f"{name}.err").write_text(problem)
        (programs / name).write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >>{programs}/{name}.called\n'
            f"[ {name} != sbatch ] || cat >>{programs}/{name}.called\n"
            f"cat {programs}/{name}.out; cat {programs}/{name}.err >&2; exit {code}\n"
        )
        (programs / name).chmod(0o755)

    for name in ("sbatch", "squeue", "sinfo", "scancel", "sacct"):
        install(name)
    return install


def called(name: str) -> str:
    path = Path(f"../programs/{name}.called")
    return path.read_text() if path.exists() else ""


def line(job: str, state: str, address: str = FIRST, reason: str = "None", folder: Path | None = None) -> str:
    """Of `squeue`."""
    return "\t".join([job, state, reason, "4:00:00", "n1", str(folder or Path.cwd()), f"celldag:{address}"]) + "\n"


def jobscript(address: str, **resources: object) -> Path:
    properties = {
        "rule": address, "threads": 2, "resources": resources, "params": {"command": job_command(address)}
    }  # fmt: skip
    path = Path("1.sh")
    path.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\nexit 1\n")
    return path


def later() -> None:
    """The time after which SLURM is asked again."""
    if QUEUE.exists():
        kept = json.loads(QUEUE.read_text())
        QUEUE.write_text(json.dumps(kept | {"kept": time.time() - 2 * slurm.ASK_SECONDS}))


def test_a_job_is_the_command_of_its_stage_and_leaves_its_exit_code(say: Say, capsys: pytest.CaptureFixture) -> None:
    say("sbatch", "12;here\n")
    hostile = "train@kang-$(touch pwned)'\"; touch pwned;%j"
    assert slurm.main(["submit", str(jobscript(hostile, mem_mb=100, runtime=5, gpu=1, slurm_partition="a b"))]) == 0
    assert capsys.readouterr().out == "12\n"
    arguments = called("sbatch").splitlines()
    for option in ("--cpus-per-task=2", "--mem=100M", "--time=5", "--gres=gpu:1", "--partition=a b", "--no-requeue"):
        assert option in arguments
    assert f"--job-name=celldag:{hostile}" in arguments
    assert f"--output=.snakemake/slurm_logs/{hostile}.log".replace("%j", "%%j") in arguments
    script = called("sbatch").partition("#!/bin/sh\n")[2]
    # In the stage's place, a program that says how it was called.
    Path("workflow").mkdir()
    Path("workflow/run_stage.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    Path("workflow/__init__.py").touch()
    done = subprocess.run(["sh"], input=script, env=os.environ | {"SLURM_JOB_ID": "12"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, f"{[hostile]}\n")
    assert not Path("pwned").exists()
    assert (exit_code("12", hostile), exit_code("13", hostile)) == (3, None)
    assert slurm.status("12") == "failed"
    assert not called("squeue"), "SLURM need not be asked"


def test_what_a_signal_has_ended_leaves_no_exit_code(say: Say) -> None:
    say("sbatch", "12\n")
    slurm.main(["submit", str(jobscript(OTHER))])
    Path("workflow").mkdir()
    Path("workflow/run_stage.py").write_text("import os; os.kill(os.getpid(), 15)")
    Path("workflow/__init__.py").touch()
    script = called("sbatch").partition("#!/bin/sh\n")[2]
    assert subprocess.run(["sh"], input=script, env=os.environ | {"SLURM_JOB_ID": "12"}, text=True).returncode == 143
    assert unended() == [OTHER]


def test_slurm_is_asked_rarely_and_once_for_all_jobs(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    note_job("12", FIRST)
    note_job("13", OTHER)
    say(
        "squeue",
        line("12", "RUNNING") + line("13", "PENDING", OTHER, "Priority") + line("12", "FAILED", folder=Path("/")),
    )
    assert [slurm.status(job) for job in ("12", "13", "12")] == ["running"] * 3
    assert called("squeue").count("--noheader") == 1
    (ENDED / OTHER).parent.mkdir(parents=True)
    (ENDED / OTHER).write_text("13 0\n")
    assert slurm.status("13") == "success"
    say("squeue")
    assert slurm.status("12") == "running", "SLURM was asked some seconds ago"
    note_job("14", OTHER)
    monkeypatch.setattr(slurm, "ask_queue", lambda: note_job("15", "train@new") or {})
    later()
    assert slurm.status("14") == "failed"
    assert slurm.status("12") == "failed", "found at the same time"
    assert slurm.status("15") == "running", "submitted while SLURM was asked"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("TIMEOUT", "its time limit of 4:00:00 is over; give it more `runtime`"),
        ("OUT_OF_MEMORY", "it took more memory than it had asked for; raise `mem_mb` in dvc.yaml's meta"),
        ("NODE_FAIL", "its node n1 failed or was set down; call again: it goes on from its last checkpoint"),
        ("FAILED", f"it failed, and its stage could not say why; see .snakemake/slurm_logs/{FIRST}.log"),
        ("BOOT_FAIL", "SLURM says BOOT_FAIL; call again"),
    ],
)
def test_one_sentence_says_what_ended_a_job_and_what_to_do(
    say: Say, capsys: pytest.CaptureFixture, state: str, said: str
) -> None:
    note_job("12", FIRST)
    say("squeue", line("12", state))
    assert slurm.status("12") == "failed"
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"error: {FIRST}: job 12 has ended, {said}")
    assert sentence.count("\n") == 1
    assert (FAILURES / FIRST).read_text() == sentence, "said again at the end of the run"
    assert unended() == [], "SLURM need not be asked about it again"


@pytest.mark.parametrize(
    ("accounts", "status", "said"),
    [("COMPLETED\n", "success", ""), ("CANCELLED by 0\n", "failed", "scancel"), ("", "failed", "does not know it any")],
)
def test_accounts_know_what_the_controller_has_forgotten(
    say: Say, capsys: pytest.CaptureFixture, accounts: str, status: str, said: str
) -> None:
    note_job("12", FIRST)
    say("sacct", accounts, code=0 if accounts else 1)
    assert slurm.status("12") == status
    assert said in capsys.readouterr().err


def test_a_controller_that_does_not_answer_is_waited_for(say: Say, capsys: pytest.CaptureFixture) -> None:
    note_job("12", FIRST)
    say("squeue", problem="slurm_load_jobs error: Unable to contact slurm controller", code=1)
    for _ in range(2):
        assert slurm.status("12") == "running"
        later()
    assert capsys.readouterr().err.count("waiting for SLURM's controller") == 1
    say("squeue", line("12", "COMPLETED"))
    assert slurm.status("12") == "success"


def test_why_a_job_waits_is_said_once_where_it_is_not_its_turn(say: Say, capsys: pytest.CaptureFixture) -> None:
    note_job("12", FIRST)
    say("squeue", line("12", "PENDING", reason="PartitionTimeLimit"))
    for _ in range(2):
        assert slurm.status("12") == "running"
        later()
    assert capsys.readouterr().err == f"{FIRST}: job 12 waits, SLURM says: PartitionTimeLimit\n"


def test_a_submission_waits_for_the_controller_and_loses_no_job(
    say: Say, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "RETRY_SECONDS", 0)
    monkeypatch.setattr(time, "sleep", lambda _: say("sbatch", "14\n"))
    say("sbatch", problem="sbatch: error: Batch job submission failed: Unable to contact slurm controller", code=1)
    assert slurm.main(["submit", str(jobscript(FIRST))]) == 0
    assert capsys.readouterr().out == "14\n"
    # The job came, but not the answer.
    (ENDED / FIRST).write_text("14 0\n")
    say("sbatch", problem="sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", code=1)
    say("squeue", line("15", "PENDING"))
    assert slurm.main(["submit", str(jobscript(FIRST))]) == 0
    assert capsys.readouterr().out == "15\n"


def test_what_slurm_refuses_is_said(say: Say, capsys: pytest.CaptureFixture) -> None:
    say("sbatch", problem="sbatch: error: Batch job submission failed: Invalid account\n", code=1)
    assert slurm.main(["submit", str(jobscript(FIRST))]) == 1
    sentence = f"error: {FIRST} was not submitted, SLURM says: Batch job submission failed: Invalid account\n"
    assert capsys.readouterr() == ("", sentence)


def test_a_job_left_by_an_earlier_call_is_taken_over_but_not_one_that_ends_or_is_forced(
    say: Say, capsys: pytest.CaptureFixture
) -> None:
    note_job("12", FIRST)
    say("sbatch", "13\n")
    say("squeue", line("12", "RUNNING"))
    assert [job.id for job in jobs_left()] == ["12"]
    slurm.main(["submit", str(jobscript(FIRST))])
    assert capsys.readouterr().out == "12\n"
    slurm.FORCED.mkdir(parents=True)
    (slurm.FORCED / FIRST).touch()
    slurm.main(["submit", str(jobscript(FIRST))])
    assert capsys.readouterr().out == "13\n"
    assert called("scancel") == "12\n"
    assert "--dependency=afterany:12" in called("sbatch").splitlines()
    assert (STAGES / FIRST).read_text() == "13"


def workflow_on(executor: str, **resources: object) -> SimpleNamespace:
    """One job that asks for these, or none."""
    job = SimpleNamespace(is_local=False, threads=1, resources=resources, rule=SimpleNamespace(name=FIRST))
    dag = SimpleNamespace(needrun_jobs=lambda: [job] if resources else [])
    return SimpleNamespace(executor_plugin=SimpleNamespace(name=executor), dag=dag)


def test_a_controller_away_at_the_start_is_an_error_and_so_are_jobs_left_on_this_machine(say: Say) -> None:
    slurm_check.before_first_job(workflow_on("local"))
    say("sinfo", problem="slurm_load_partitions: Unable to contact slurm controller\n", code=1)
    with pytest.raises(ExpectedError, match=r"SLURM's controller does not answer \(slurm_load_partitions: Unable"):
        slurm_check.before_first_job(workflow_on("cluster-generic"))
    note_job("12", FIRST)
    say("squeue", line("12", "RUNNING"))
    with pytest.raises(ExpectedError, match=r"go on with `snakemake --profile profiles/slurm`, or `scancel 12` first"):
        slurm_check.before_first_job(workflow_on("local"))


@pytest.mark.parametrize("partition", ["shutdown", "busy", "reserved-2", "undrained", "Temporarily"])
def test_a_missing_partition_is_an_error_whatever_its_name(say: Say, partition: str) -> None:
    problem = f"sbatch: error: invalid partition specified: {partition}\nallocation failure: Invalid partition name\n"
    say("sbatch", problem=problem, code=1)
    with pytest.raises(
        ExpectedError, match=f"SLURM would not take {FIRST} with .*: invalid partition .*: {partition};"
    ):
        slurm_check.before_first_job(workflow_on("cluster-generic", slurm_partition=partition))


@pytest.mark.parametrize(
    "reason", ["Requested nodes are busy", "Required node not available (down, drained or reserved)"]
)
def test_a_job_may_wait_for_nodes_to_come_back(say: Say, reason: str) -> None:
    say("sbatch", problem=f"allocation failure: {reason}\n", code=1)
    slurm_check.before_first_job(workflow_on("cluster-generic", slurm_partition="busy"))


CHOSEN = "sbatch: Job 1 to start at 2026-11-30T06:14:21 using 1 processors on nodes n1 in partition short\n"


@pytest.mark.parametrize(
    ("asked", "said", "refused"),
    [
        ({"runtime": 31}, CHOSEN, "31 minutes, is above that of partition short (30:00): lower `runtime`, or change"),
        ({"runtime": 31, "slurm_partition": "short"}, "", "partition short (30:00)"),
        ({"runtime": 61, "slurm_partition": "short,hour"}, "", "partition short (30:00) or hour (1:00:00)"),
        ({"runtime": 30}, CHOSEN, None),
        ({"runtime": 60, "slurm_partition": "short,hour"}, CHOSEN, None),
        ({"runtime": 100_000, "slurm_partition": "long"}, "", None),
        ({"runtime": 31, "slurm_qos": "over_all_limits"}, CHOSEN, None),
        ({"runtime": 31, "slurm_partition": "hidden"}, CHOSEN, None),
        ({"runtime": 31}, "", None),
        ({"slurm_partition": "short"}, "", None),
    ],
)
def test_a_time_limit_above_the_partitions_is_an_error(
    say: Say, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], said: str, refused: str | None
) -> None:
    for name in ("SBATCH_QOS", "SBATCH_PARTITION"):
        monkeypatch.delenv(name, raising=False)
    say("sinfo", "short\t1\tup\t30:00\nhour\t1\tup\t1:00:00\nlong\t1\tup\tinfinite\n")
    say("sbatch", problem=said)
    if refused is None:
        slurm_check.before_first_job(workflow_on("cluster-generic", **asked))
        return
    with pytest.raises(ExpectedError, match=re.escape(refused)) as error:
        slurm_check.before_first_job(workflow_on("cluster-generic", **asked))
    assert f"SLURM would never start {FIRST}: " in str(error.value)
    assert "(there are hour: 1:00:00, long: infinite, short: 30:00)" in str(error.value)


def test_a_partition_of_sbatchs_own_variable_has_its_limit(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    say("sinfo", "short\t1\tup\t30:00\nlong\t1\tup\tinfinite\n")
    say("sbatch", problem=CHOSEN)
    monkeypatch.setenv("SBATCH_PARTITION", "short,long")
    slurm_check.before_first_job(workflow_on("cluster-generic", runtime=31))


def test_a_time_limit_below_zero_is_an_error(say: Say) -> None:
    with pytest.raises(ExpectedError, match=f"the `runtime` of {FIRST} is -1 minutes: set it to a positive number"):
        slurm_check.before_first_job(workflow_on("cluster-generic", runtime=-1))


@pytest.mark.parametrize(("partition", "warned"), [("closed", True), ("closed,main", False)])
def test_a_closed_partition_is_told(say: Say, capsys: pytest.CaptureFixture, partition: str, warned: bool) -> None:
    say("sinfo", "closed\t1\tdown\tinfinite\nmain\t1\tup\tinfinite\n")
    slurm_check.before_first_job(workflow_on("cluster-generic", slurm_partition=partition))
    told = f"warning: {FIRST} waits until partition closed takes jobs again" in capsys.readouterr().err
    assert told == warned


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("30", 30),
        ("30:30", 30.5),
        ("1:00:00", 60),
        ("1-00:00:00", 1440),
        ("2-01:02:00", 2942),
        ("1-2", 1560),
        ("infinite", math.inf),
        ("n/a", math.inf),
    ],
)
def test_time_limits_as_slurm_writes_them(limit: str, minutes: float) -> None:
    assert slurm_check.seconds(limit) == 60 * minutes


def test_a_folder_of_one_machine_alone_is_told_where_there_are_several(say: Say, capsys: pytest.CaptureFixture) -> None:
    for nodes, warned in (("1", False), ("2", True)):
        say("sinfo", f"main\t{nodes}\tup\tinfinite\n")
        slurm_check.before_first_job(workflow_on("cluster-generic"))
        assert ("looks like a folder of this machine alone" in capsys.readouterr().err) == warned


def test_the_programs_that_snakemake_calls(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    slurm_check.before_first_job(workflow_on("cluster-generic"))

    def called_by_shell(program: str, argument: str) -> str:
        done = subprocess.run(["sh", f".snakemake/slurm/{program}", argument], capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout

    say("sbatch", "12\n")
    assert called_by_shell("submit", str(jobscript(FIRST))) == "12\n"
    say("squeue", line("12", "RUNNING"))
    assert called_by_shell("status", "12") == "running\n"
    assert QUEUE.is_file()
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert called_by_shell("status", "12") == "running\n", "without Python"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (ENDED / FIRST).write_text("12 0\n")
    assert called_by_shell("status", "12") == "success\n"


def test_jobs_killed_when_no_snakemake_ran_are_no_news(say: Say, capsys: pytest.CaptureFixture) -> None:
    for job, address in (("11", FIRST), ("12", FIRST), ("13", OTHER)):
        note_job(job, address)
    say("squeue", line("13", "RUNNING", OTHER))
    slurm_check.before_first_job(workflow_on("cluster-generic"))
    assert unended() == [OTHER]
    assert sorted(path.name for path in JOBS.iterdir()) == ["12", "13"]
    assert capsys.readouterr().err == ""
