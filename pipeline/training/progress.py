"""Progress of a training: a bar in a terminal, one line per epoch everywhere."""

import os
import sys
from typing import Self

from tqdm import tqdm

from pipeline.core.rank import is_first


class Progress:
    """A bar of steps on stderr where that is a terminal, and one line per epoch on standard output; of several
    processes the first alone has them."""

    def __init__(self, title: str, steps: int, done: int) -> None:
        hidden = bool(os.environ.get("TQDM_DISABLE")) or not sys.stderr.isatty() or not is_first()
        self._bar = tqdm(total=steps, initial=done, desc=title, unit="step", disable=hidden)
        self._title = title

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """One minibatch is done."""
        self._bar.update()

    def line(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if not is_first():
            return
        self._bar.write(f"{self._title}: {text}", file=sys.stdout)
        sys.stdout.flush()
