"""A small project of its own, in a temporary git and DVC repository, that both engines can really run.

    code -> first -> left, right -> last
    code -> lonely

Each stage writes its one parameter, divided by ten, and its inputs. It logs when it ran beside the project, where
neither engine looks. `workflow/`, the Snakefile, the launcher of stages and `code` are this project's own; the
parameters are a stub.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil
from dvc.repo import Repo

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 300
SUBMIT = ("snakemake", "--profile", "profiles/slurm")  # stages as jobs of SLURM

WORK = """
import json, os, sys, time
from pathlib import Path
import yaml

beside = Path("..")


def log(event, name):
    with (beside / "log.jsonl").open("a") as stream:
        stream.write(json.dumps({"event": event, "stage": name, "time": time.time(), "pid": os.getpid()}) + "\\n")


def work(name, *inputs):
    value = yaml.safe_load(Path("params.yaml").read_text())[name]
    hangs = (beside / f"hang_{name}").exists()  # before it says that it has started: a test then takes the file away
    log("start", name)
    if hangs:  # until it is killed
        time.sleep(600)
    while (beside / f"wait_{name}").exists():
        time.sleep(0.05)
    if (beside / "meet").exists() and name in ("left", "right"):
        # Wait for the other of the two: only where the engine runs them at the same time can both go on.
        other = {"left": "right", "right": "left"}[name]
        patience = time.monotonic() + 60
        while f'"stage": "{other}"' not in (beside / "log.jsonl").read_text():
            if time.monotonic() > patience:
                sys.exit(f"error: {other} did not start while {name} was running")
            time.sleep(0.05)
    if value < 0:
        sys.exit(f"error: {name} cannot work with {value}")
    content = [name, value // 10, *(Path(file).read_text() for file in inputs)]
    Path(f"{name}.json").write_text(json.dumps(content))
    log("end", name)
"""

STAGE = """
def run():
    from pipeline.work import work
    work({arguments})


run()
"""
STAGES = {
    "first": ("first",),
    "left": ("left", "first.json"),
    "right": ("right", "first.json"),
    "last": ("last", "left.json", "right.json"),
    "lonely": ("lonely",),
}

# What the small project has of this project's own `pipeline/`.
OWN = (
    *("__init__", "__main__", "cli", "commands/__init__", "commands/explain", "commands/program", "commands/repair"),
    *(
        f"core/{name}"
        for name in (
            "__init__",
            "checkout",
            "children",
            "entry",
            "errors",
            "files",
            "git",
            "machine",
            "manifest_imports",
        )
    ),
    *(f"core/{name}" for name in ("nested", "parent_watchdog", "paths", "rank", "signals", "wording")),
    *("data/__init__", "data/untracked"),
    *("params/__init__", "params/reading", "params/section", "stage", "stages/__init__", "stages/code"),
)

DVC_YAML = """
stages:
  code:
    cmd: python -m pipeline.stage code
    deps: [params.yaml, pipeline]
    outs: [data/code]
    meta: {gate: true}
  first:
    cmd: python -m pipeline.stage first
    deps: [data/code/first.json]
    params: [first]
    outs: [first.json]
    meta: {threads: 2, mem_mb: 100, gpu: 0}
  side:
    foreach: {left: {}, right: {}}
    do:
      cmd: python -m pipeline.stage ${key}
      deps: ["data/code/${key}.json", first.json]
      params: ["${key}"]
      outs: ["${key}.json"]
      meta: {threads: 1, mem_mb: 100, gpu: 0}
  last:
    cmd: python -m pipeline.stage last
    deps: [data/code/last.json, left.json, right.json]
    params: [last]
    metrics:
      - last.json:
          cache: false
    meta: {threads: 1, mem_mb: 100, gpu: 0}
  lonely:
    cmd: python -m pipeline.stage lonely
    deps: [data/code/lonely.json]
    params: [lonely]
    outs: [lonely.json]
"""

STUB_PLAN = '''
"""Stands in for the project's own parameters and plan: all there are is whole numbers, and no studies."""

from pathlib import Path

import yaml

from pipeline.core.errors import ExpectedError


def make_plan(with_settings=False):
    if with_settings:
        Path("data/settings").mkdir(parents=True, exist_ok=True)
    for key, value in yaml.safe_load(Path("params.yaml").read_text()).items():
        if not isinstance(value, int):
            raise ExpectedError(f"params.yaml: {key} = {value!r}: must be a whole number")
    return False


def read_plan():
    return {}
'''


class Project:
    """A copy of the small project, and what can be done with it."""

    timeout = TIMEOUT_SECONDS  # of a command
    timed: frozenset[str] = frozenset()  # files that two runs make differently

    def __init__(self, beside: Path) -> None:
        self.beside = beside
        self.root = beside / "project"
        self.environment = os.environ | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(beside / "library"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(beside),
            "XDG_CACHE_HOME": str(beside / "cache"),
            "DVC_SITE_CACHE_DIR": str(beside / "cache"),
            "DVC_NO_ANALYTICS": "1",
        }

    def command(self, engine: str) -> list[str]:
        return {"dvc": ["dvc", "repro"], "snakemake": ["snakemake", "--cores", "2"]}[engine]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=self.timeout
        )

    def commit(self, subject: str) -> None:
        for command in (("git", "add", "."), ("git", "commit", "--quiet", "-m", subject)):
            done = self.call(*command)
            assert done.returncode == 0, done.stdout + done.stderr

    def run(self, engine: str) -> None:
        """Run the engine as a user would, and demand that it succeeds."""
        done = self.call(*self.command(engine))
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, engine: str) -> subprocess.Popen[bytes]:
        """Start the engine as the leader of a process group of its own."""
        output = (self.beside / "engine.txt").open("wb")
        return subprocess.Popen(
            self.command(engine), cwd=self.root, env=self.environment, stdout=output, stderr=output, process_group=0
        )

    def set(self, **values: object) -> None:
        params = self.root / "params.yaml"
        lines = params.read_text().splitlines()
        kept = [line for line in lines if line.split(":")[0] not in values]
        params.write_text("\n".join([*kept, *(f"{key}: {value}" for key, value in values.items())]) + "\n")

    def events(self) -> list[dict]:
        log = self.beside / "log.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def ran(self) -> list[str]:
        """Names of the stages that have started since the last call, sorted; forgets them."""
        names = sorted(event["stage"] for event in self.events() if event["event"] == "start")
        (self.beside / "log.jsonl").unlink(missing_ok=True)
        return names

    @contextmanager
    def dvc(self) -> Iterator[Repo]:
        """DVC in this process, which has it loaded already; only what starts a stage needs one of its own."""
        with chdir(self.root), patch.dict(os.environ, self.environment, clear=True), Repo() as repo:
            yield repo

    def status(self) -> dict:
        """What `dvc status` says."""
        with self.dvc() as repo:
            return repo.status()

    def assert_nothing_to_do(self) -> None:
        """Both engines and `dvc status` agree that all is done, and a call of either starts no stage."""
        assert self.status() == {}
        before = self.events()
        dry = self.call("snakemake", "--dry-run")
        assert dry.returncode == 0, dry.stdout + dry.stderr
        assert "Nothing to be done" in dry.stdout + dry.stderr
        with self.dvc() as repo:
            assert repo.reproduce() == []  # as `dvc repro`
        assert self.events() == before

    def wait_for_start(self, stage: str) -> int:
        """Process id of the stage, once it has started."""
        patience = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < patience:
            for event in self.events():
                if event["stage"] == stage and event["event"] == "start":
                    return int(event["pid"])
            time.sleep(0.05)
        raise AssertionError(f"{stage} never started:\n" + (self.beside / "engine.txt").read_text())


def make(beside: Path) -> Project:
    """The project before its first run, in the folder `beside`."""
    project = Project(beside)
    for name in ("data", "pipeline/commands", "pipeline/core", "pipeline/params", "pipeline/stages"):
        (project.root / name).mkdir(parents=True)
    (beside / "library").mkdir()
    (beside / "library/workflow").symlink_to(ROOT / "workflow")
    for name in ("Snakefile", ".gitignore", *(f"pipeline/{name}.py" for name in OWN)):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project.root / name)
    shutil.copytree(ROOT / "profiles", project.root / "profiles")
    written = {
        "pipeline/plan.py": STUB_PLAN,
        "pipeline/work.py": WORK,
        **{
            f"pipeline/stages/{name}.py": STAGE.format(arguments=", ".join(f'"{word}"' for word in words))
            for name, words in STAGES.items()
        },
        "dvc.yaml": DVC_YAML,
        "params.yaml": "first: 10\nleft: 20\nright: 30\nlast: 40\nlonely: 50\n",
    }
    for name, text in written.items():
        (project.root / name).write_text(text)
    commands = [
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "A Tester"],
        ["git", "config", "user.email", "tester@example.org"],
        ["dvc", "init", "--quiet"],
    ]
    for command in commands:
        done = project.call(*command)
        assert done.returncode == 0, done.stderr
    for name in (".dvc/config", ".dvcignore"):
        shutil.copy(ROOT / name, project.root / name)
    project.commit("A small project")
    return project


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the engine and all it started, and wait until they are gone from the process table.

    A killed orphan stays in it until the system's first process collects it, in some containers seconds later, and
    until then DVC takes it for alive and the paths it had locked for busy.
    """
    killed = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(killed, timeout=30)
    assert not left, "the system does not collect killed processes"


def kill_engine_only(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
