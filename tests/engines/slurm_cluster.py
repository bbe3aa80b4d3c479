"""A real SLURM on this machine, in a folder of its own: started by root, gone without a trace when it is stopped.

    python -m tests.engines.slurm_cluster /tmp/cluster --accounting

prints the setting that other shells need to reach it, and runs until Ctrl-C. Several may run side by side: keys,
sockets and ports are their own, and no service of the machine is used.
"""

import argparse
import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

INSTALL = "sh tests/engines/install_clusters"
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db")
SBIN = "/usr/sbin"
PATIENCE_SECONDS = 60

SLURM_CONF = """
ClusterName=celldag
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
# Neither control groups nor binding to processors: in a container neither need be there.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
# By default a batch job may wait 3 s for others to come.
SchedulerParameters=batch_sched_delay=0
ReturnToService=1
KillWait=5
MessageTimeout=10
GresTypes=gpu
SlurmdParameters=config_overrides
{accounting}
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_ports} CPUs={cpus} RealMemory={memory} Gres=gpu:2
PartitionName=main Nodes={nodes} Default=YES MaxTime=1440 State=UP
"""
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
"""
SLURMDBD_CONF = """
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""


def what_is_missing() -> str | None:
    """Why no cluster can be started here, and what to do about it; None if one can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: as root on Debian, run `{INSTALL}`"
    return None if os.geteuid() == 0 else "a SLURM of one's own wants root: run the tests as root, as in a container"


class Cluster:
    """One controller and its nodes, all of them this machine, between `with` and the block's end."""

    def __init__(self, folder: Path, accounting: bool = False, nodes: int = 1, cpus: int = 2) -> None:
        self.folder = folder
        self.accounting = accounting
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._names = [f"n{number}" for number in range(1, nodes + 1)]
        self._cpus = cpus
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Cluster":
        self.folder.mkdir(parents=True, mode=0o755)
        try:
            self._start_munge()
            port = self._start_accounting() if self.accounting else 0
            self._write_settings(port)
            self.start_controller()
            for name in self._names:
                self._start(f"slurmd_{name}", "slurmd", "-D", "-N", name)
            self._wait("its nodes", self._is_idle)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (self.folder / "slurm.conf").exists():
            # The processes of jobs are no children of ours.
            self.call("scancel", "--user", "root")
            time.sleep(0.5)
        for name in reversed(list(self._running)):
            self._stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, *command: str) -> str:
        """What a program of SLURM prints, or says where it fails."""
        done = subprocess.run(
            command, env=os.environ | self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.stdout

    def start_controller(self) -> None:
        """Start it and wait until it answers; after `stop_controller` it knows what it knew."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait("the controller", lambda: "is UP" in self.call("scontrol", "ping"))

    def stop_controller(self) -> None:
        self._stop("slurmctld")

    def set_node(self, state: str, name: str = "n1") -> None:
        """`down`, with all its jobs, or `resume`."""
        reason = ("reason=test",) if state == "down" else ()
        said = self.call("scontrol", "update", f"nodename={name}", f"state={state}", *reason)
        assert not said, said

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {
            "key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"
        }  # fmt: skip
        options = [f"--{option}={self.folder}/munge.{ending}" for option, ending in files.items()]
        # By force: it would not trust a folder below /tmp, to which everyone may write.
        self._start("munged", "munged", "--foreground", "--force", "--num-threads=2", *options)
        self._wait("munge", (self.folder / "munge.socket").exists)

    def _start_accounting(self) -> int:
        """The database and the daemon before it; the daemon's port."""
        data, port, database_port, password = self.folder / "database", _free_port(), _free_port(), secrets.token_hex()
        plain = ["--no-defaults", "--user=root", f"--datadir={data}"]
        made = subprocess.run(
            [_program("mariadb-install-db"), *plain, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        unix_socket = self.folder / "database.socket"
        self._start(
            "mariadbd", "mariadbd", *plain, f"--socket={unix_socket}", "--bind-address=127.0.0.1",
            f"--port={database_port}", f"--pid-file={self.folder}/database.pid", "--innodb-buffer-pool-size=64M",
        )  # fmt: skip
        grant = f"grant all on slurm_acct_db.* to 'slurm'@'%' identified by '{password}'"
        client = ["mariadb", "--no-defaults", f"--socket={unix_socket}", "--execute", grant]
        self._wait("the database", lambda: subprocess.run(client, capture_output=True).returncode == 0)
        settings = self.folder / "slurmdbd.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            SLURMDBD_CONF.format(folder=self.folder, port=port, database_port=database_port, password=password)
        )
        (self.folder / "slurm.conf").write_text(f"ClusterName=celldag\nSlurmctldHost={_host()}\n")
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait("accounting", lambda: _answers(port))
        return port

    def _write_settings(self, accounting_port: int) -> None:
        last = len(self._names)
        ports = [_free_port() for _ in self._names]
        values = {
            "folder": self.folder,
            "host": _host(),
            "controller_port": _free_port(),
            "nodes": "n1" if last == 1 else f"n[1-{last}]",
            "node_ports": str(ports[0]) if last == 1 else f"[{','.join(map(str, ports))}]",
            "cpus": self._cpus,
            "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 // 2,
            "accounting": ACCOUNTING.format(folder=self.folder, port=accounting_port) if accounting_port else "",
        }
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/tty[0-1]\n")  # any two devices will do
        if accounting_port:
            self._wait("the cluster's name", self._is_registered)

    def _is_registered(self) -> bool:
        said = self.call("sacctmgr", "--immediate", "add", "cluster", "celldag")
        return "celldag" in said and "error" not in said

    def _is_idle(self) -> bool:
        states = self.call("sinfo", "--noheader", "--Node", "--format=%T").split()
        return len(states) == len(self._names) and set(states) == {"idle"}

    def _start(self, name: str, program: str, *arguments: str) -> None:
        path = _program(program)
        assert path, what_is_missing()
        with (self.folder / f"{name}.out").open("ab") as output:
            self._running[name] = subprocess.Popen(
                [path, *arguments], env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip

    def _stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            if ended or time.monotonic() > patience:
                said = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
                said += "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.out"))
                raise RuntimeError(f"{what} did not start ({', '.join(ended) or 'no answer'}):\n{said}")
            time.sleep(0.1)


def _end_with_parent() -> None:
    """Have Linux end this process if the one that started it is killed, before it could stop its cluster."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN]))


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="must not be there yet; removed at the end")
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and a database")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=2, help="of a node, whatever the machine has")
    arguments = parser.parse_args()
    if problem := what_is_missing():
        parser.error(problem)
    if not re.fullmatch(r"[\w./-]+", str(arguments.folder)):  # it stands in SLURM's files, unquoted
        parser.error(f"{arguments.folder}: letters, digits, dots and dashes only")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        Cluster(arguments.folder.absolute(), arguments.accounting, arguments.nodes, arguments.cpus) as cluster,
    ):
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
