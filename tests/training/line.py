"""A small training: a line is fitted to points on it."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.nn.share import drawn
from pipeline.params.optimisation import Optimisation
from pipeline.training.fit import fit

CPU = torch.device("cpu")


@dataclass
class Points:
    rows: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor

    def __len__(self):
        return len(self.rows)

    def part(self, first, count):
        return Points(*(value[first : first + count] for value in vars(self).values()))


class KilledError(Exception):
    """Stands in for the end of the process."""


class Line:
    """Minibatches of y = 2x + 1; `kill_at` (epoch, step) ends the process, as it were, before that minibatch."""

    def __init__(self, points=40, kill_at=None, spoil=None, slope=2, spoil_later=0.0, without=0):
        self.x = torch.linspace(-1, 1, points)
        self.y = slope * self.x + 1
        if spoil is not None:
            self.y[spoil] = math.nan
        self.kill_at = kill_at
        self.spoil_later = spoil_later  # added to what is asked of the sixth minibatch
        self.without = without  # examples that the last minibatch lacks

    def __len__(self):
        return len(self.x.chunk(10))

    def epoch(self, number, start=0):
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(number))
        for step, rows in enumerate(order.chunk(10)):
            if step >= start:
                if (number, step) == self.kill_at:
                    raise KilledError
                rows = rows[: len(rows) - self.without] if step == len(self) - 1 else rows
                yield Points(rows, self.x[rows], self.y[rows] + self.spoil_later * (step == 5))

    def names(self, batch):
        return [f"point{row}" for row in batch.rows.tolist()]


class Regression(nn.Module):
    """Squared error with noise in the input while training, so that resuming has to find the random numbers again."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, batch, generator):
        noise = 0.1 * drawn(lambda shape: torch.randn(shape, generator=generator), batch.x.shape)
        error = (self.layers((batch.x + noise)[:, None])[:, 0] - batch.y).square().mean()
        return {"loss": error + 0.0, "error": error}


def settings(**changes) -> Optimisation:
    values = {
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "gradient_clip": 1.0,
        "batch_size": 4,
        "epochs": 4,
        "patience": 4,
        "ema_decay": 0.0,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
    }
    return Optimisation(**(values | changes))


def trained(
    train=None,
    validation=None,
    checkpoints=None,
    objective=None,
    keep_initial=False,
    rate_factors=None,
    **changes,
):
    objective = objective or Regression()
    fitted = fit(
        "line",
        objective,
        train or Line(),
        validation or Line(),
        settings(**changes),
        CPU,
        checkpoints,
        keep_initial=keep_initial,
        rate_factors=rate_factors,
    )
    return objective.state_dict(), fitted
