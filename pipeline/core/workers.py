"""Tasks of a stage done by several processes, with their results in the order of the tasks.

Every worker is a fresh interpreter, since a process with running threads cannot be forked safely, and imports no other
code than its stage may. What ends it ends the stage, with one message. Tasks, their functions (of modules) and results
go through a pipe, so they should be small.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, TypeVar

import psutil

from pipeline.core.errors import ExpectedError, expected_error
from pipeline.core.parent_watchdog import end_with
from pipeline.core.signals import MEANINGS

Task = TypeVar("Task")
Result = TypeVar("Result")
Open = Callable[[], AbstractContextManager[Any]]

# Sent as they are, so that the stage says the same of them wherever they happened.
_SENT = (ExpectedError, OSError, MemoryError)


class Workers:
    """Made by `start_workers`."""

    def __init__(self, opened: Any, connections: Sequence[Connection], children: Sequence[subprocess.Popen[bytes]]):
        self._opened = opened
        self._children = dict(zip(connections, children, strict=True))

    def each(self, function: Callable[[Any, Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """function(what is open, task) of every task, in their order. A task is made when a worker is free for it.

        The first error of a worker is raised here, once all of them have ended; so is the end of a worker.
        """
        if not self._children:
            yield from (function(self._opened, task) for task in tasks)
            return
        try:
            yield from self._in_order(function, enumerate(tasks))
        except BaseException:
            self.end()  # first, so that nothing writes into what is now removed
            raise

    def _in_order(self, function: Callable[[Any, Task], Result], tasks: Iterator[tuple[int, Task]]) -> Iterator[Result]:
        idle, busy = deque(self._children), dict[Connection, int]()
        done, wanted = dict[int, Result](), 0
        while True:
            while idle and (task := next(tasks, None)) is not None:
                connection = idle.popleft()
                busy[connection] = task[0]
                self._send(connection, (function, task[1]))
            if not busy:
                return
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                done[busy.pop(ready)] = self._received(ready)
                idle.append(ready)
            while wanted in done:
                yield done.pop(wanted)
                wanted += 1

    def _send(self, connection: Connection, message: Any) -> None:
        try:
            connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        except ConnectionError as error:
            raise self._gone(connection) from error

    def _received(self, connection: Connection) -> Any:
        try:
            error, result = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own child
        except (EOFError, ConnectionError) as ended:
            raise self._gone(connection) from ended
        if isinstance(error, BaseException):
            raise error
        if error is not None:
            raise RuntimeError(f"a bug in a worker:\n{error}")
        return result

    def _gone(self, connection: Connection) -> ExpectedError:
        """What to say of a worker that has ended in the middle of its work."""
        code = self._children[connection].wait()
        how = f"with exit code {code}"
        if -code in set(signal.Signals):
            meaning = MEANINGS.get(-code)  # type: ignore[call-overload]
            how = f"by {signal.Signals(-code).name}{f' ({meaning})' if meaning else ''}"
        return ExpectedError(
            f"a worker process of this stage was ended {how}; run it again, with fewer workers (in params.yaml) if "
            "memory is short; what was there before is unchanged"
        )

    def end(self) -> None:
        """End all workers, at once, and wait until they are gone: nothing they have finished is lost."""
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()


@contextmanager
def start_workers(count: int, open_: Open, opened: Any) -> Iterator[Workers]:
    """So many workers, each with what `open_` gives; a single one is this process, with `opened`, and costs nothing."""
    connections: list[Connection] = []
    children: list[subprocess.Popen[bytes]] = []
    workers = Workers(opened, (), ())
    try:
        for _ in range(count if count > 1 else 0):
            ours, theirs = Pipe()
            with theirs:
                children.append(_started(theirs))
            connections.append(ours)
        workers = Workers(opened, connections, children)
        # By name, as no result depends on how code is compared: an import would make it part of every stage.
        allowed = import_module("pipeline.core.manifest_imports").imports_in_force()
        for connection in connections:
            workers._send(connection, allowed)
            workers._send(connection, open_)
        yield workers
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
        for connection in connections:
            connection.close()


def _started(theirs: Connection) -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from pipeline.core.workers import work; "
        f"work({theirs.fileno()}, {os.getpid()})"
    )
    # A worker is one core: what numpy would start beside it only takes memory.
    variables = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=variables
    )


def work(descriptor: int, parent: int) -> None:
    """What a worker does until its stage has no more tasks, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the stage as well, which reports it
    if os.getppid() != parent:
        return
    end_with([psutil.Process(parent)])
    with Connection(descriptor) as connection:
        try:
            allowed = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own parent
            if allowed is not None:
                import_module("pipeline.core.manifest_imports").import_only(*allowed)
            _work(connection)
        except (EOFError, ConnectionError):  # the stage has ended
            return


def _work(connection: Connection) -> None:
    opening, opened = connection.recv_bytes(), None
    with ExitStack() as stack:
        while True:
            message = connection.recv_bytes()
            try:
                opened = opened or stack.enter_context(pickle.loads(opening)())  # noqa: S301
                function, task = pickle.loads(message)  # noqa: S301
                answer = pickle.dumps((None, function(opened, task)), pickle.HIGHEST_PROTOCOL)
            except Exception as error:  # noqa: BLE001 - the stage raises it
                sent = error if isinstance(error, _SENT) else expected_error(error)
                answer = pickle.dumps((sent or traceback.format_exc(), None))
            connection.send_bytes(answer)
