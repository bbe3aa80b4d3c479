"""The training loop of all models. A model brings an objective (a module whose forward returns its loss) and two
sources of minibatches; only these know what a minibatch holds.

Several processes train as one does (`pipeline.training.processes`): there is no other loop for them.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pipeline.params.optimisation import Optimisation
from pipeline.training.agreement import described
from pipeline.training.averaging import Average
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.curves import Curve
from pipeline.training.determinism import Purpose, torch_generator
from pipeline.training.non_finite import all_finite, not_finite
from pipeline.training.optimizer import Optimizer, learning_rate
from pipeline.training.processes import Parts, numbers, processes_here
from pipeline.training.progress import Progress

CHECKPOINT_STEPS = 500  # between checkpoints within an epoch: a killed run repeats at most these

B = TypeVar("B")


class Batches(Protocol[B]):
    """A source of minibatches, whose order is a function of the epoch's number.

    Data on the device, or a stream that is shuffled block by block. A minibatch is a `Batch`.
    """

    def __len__(self) -> int:
        """Minibatches of an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[B]:
        """The minibatches of an epoch from number `start` on: a function of the arguments."""

    def names(self, batch: B) -> list[str]:
        """Names of a minibatch's examples, for messages."""


@dataclass(frozen=True)
class Fitted:
    """The objective holds the best weights. `validation` are the parts of the loss with them."""

    curve: Curve
    best_epoch: int
    train: Parts
    validation: Parts


@dataclass
class _Position:
    """Progress of a training: what a checkpoint holds besides tensors."""

    epoch: int = 0  # epochs done
    step: int = 0  # minibatches of the epoch in progress that are done
    examples: int = 0  # in these minibatches
    best_epoch: int = 0
    best_loss: float = math.inf


def fit(
    title: str,
    objective: nn.Module,
    train: Batches[B],
    validation: Batches[B],
    settings: Optimisation,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    judge: Callable[[nn.Module], Parts] | None = None,
    keep_initial: bool = False,
    rate_factors: Mapping[str, float] | None = None,
) -> Fitted:
    """Train until the epochs are over or `patience` epochs bring no better validation loss.

    objective(batch, generator) gives a dictionary of scalars (means over the batch's examples) with `loss` among them.
    The objective ends in eval mode with the weights of the best epoch (with `ema_decay`, the averaged ones). A loss
    that is not finite is an ExpectedError. With `checkpoints`, a killed training resumes and ends with bit-identical
    weights. `judge` is called on the objective after each epoch; its numbers, which need not be means over minibatches,
    become columns of the curve. `keep_initial`: the initial weights are kept, as those of epoch 0, where no epoch
    brings a better validation loss than theirs. `rate_factors`: of weights whose name begins so, the learning rate over
    that of the settings.

    Several processes (of a stage that asks for them, or started by torchrun or accelerate) each call this with the same
    arguments, and all get the same result. Every step is that of one process to rounding. ExpectedError where they
    disagree.
    """
    training = _Training(title, objective, train, validation, settings, device, judge, rate_factors or {})
    return training.run(checkpoints, keep_initial)


class _Training:
    def __init__(
        self,
        title: str,
        objective: nn.Module,
        train: Batches[Any],
        validation: Batches[Any],
        settings: Optimisation,
        device: torch.device,
        judge: Callable[[nn.Module], Parts] | None,
        rate_factors: Mapping[str, float],
    ) -> None:
        self.title, self.settings, self.device, self.judge = title, settings, device, judge
        self.objective = objective.to(device)
        self.train, self.validation = train, validation
        self.processes = processes_here(device)
        names = [name for name, _ in objective.named_parameters()]
        factors = [next((of for part, of in rate_factors.items() if name.startswith(part)), 1.0) for name in names]
        self.optimizer = Optimizer(objective.parameters(), settings, factors)
        self.weights = list(objective.parameters())
        self.average = Average(objective, settings.ema_decay) if settings.ema_decay else None
        self.position = _Position()
        self.sums: Parts = {}  # of the epoch in progress, over examples
        self.curve: Curve = []
        self.best = _copy(self._judged())

    def run(self, checkpoints: Checkpoints | None, keep_initial: bool) -> Fitted:
        settings, position = self.settings, self.position
        state = checkpoints.load(self.device) if checkpoints else None
        if state is not None:
            self._restore(state)
        told = partial(described, self.train, self.validation, settings, self._state())
        self.processes.agree(self.title, told, len(self.train))
        if keep_initial and state is None:
            position.best_loss = self._evaluate(self._judged(), self.validation)["loss"]
        with Progress(self.title, settings.epochs * len(self.train), self._steps_done()) as progress:
            if state is not None:
                progress.line(f"continues at epoch {position.epoch + 1}, step {position.step + 1}")
            while not self._finished():
                self.objective.train()
                for batch in self.train.epoch(position.epoch, position.step):
                    self._step(batch)
                    progress.step()
                    if checkpoints and position.step % CHECKPOINT_STEPS == 0:
                        checkpoints.save(self._state())
                self._end_epoch(progress)
                if checkpoints:
                    checkpoints.save(self._state())
        self.objective.load_state_dict(self.best)
        self.objective.eval()
        return Fitted(
            curve=self.curve,
            best_epoch=position.best_epoch,
            train=self._evaluate(self.objective, self.train, "the training data"),
            validation=self._evaluate(self.objective, self.validation),
        )

    def _steps_done(self) -> int:
        return self.position.epoch * len(self.train) + self.position.step

    def _finished(self) -> bool:
        stale = self.position.epoch - self.position.best_epoch
        return self.position.epoch >= self.settings.epochs or stale >= self.settings.patience

    def _step(self, batch: Any) -> None:
        position = self.position
        generator = torch_generator(self.device, self.settings.seed, Purpose.TRAINING, position.epoch, position.step)
        where = f"training, epoch {position.epoch + 1}, step {position.step + 1}"
        with self._precision():
            losses = self.processes.losses(self.objective, batch, generator)
        for weight in self.weights:
            weight.grad = None
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        parts = self.processes.gathered(losses, self.weights)
        if not all_finite(parts):
            self._stop(parts, self.processes.blamed(losses, self.train.names(batch)), where)
        norm = self._clip()
        if not math.isfinite(norm):
            self._stop({"the gradient": norm}, self.train.names(batch), where)
        self.optimizer.step(learning_rate(self.settings, self._steps_done(), len(self.train)))
        if self.average:
            self.average.update(self.objective, self._steps_done())
        _add(self.sums, parts, len(batch))
        position.examples += len(batch)
        position.step += 1

    def _precision(self) -> torch.autocast:
        """Weights are float32 in either precision, and so are the gradients and what the optimizer keeps."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def _clip(self) -> float:
        """Norm of the gradient before it is scaled down to `gradient_clip`, if it is longer."""
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients, foreach=True))
        if norm > self.settings.gradient_clip:
            scale = self.settings.gradient_clip / (norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_ has it
            torch._foreach_mul_(gradients, scale)
        return norm

    def _end_epoch(self, progress: Progress) -> None:
        position = self.position
        position.epoch += 1
        train = {name: total / position.examples for name, total in self.sums.items()}
        validation = self._evaluate(self._judged(), self.validation)
        better = validation["loss"] < position.best_loss
        if better:
            position.best_epoch, position.best_loss = position.epoch, validation["loss"]
            self.best = _copy(self._judged())
        judged = self.judge(self._judged()) if self.judge else {}
        self.curve.append(_row(position.epoch, train, validation) | judged)
        self.sums, position.examples, position.step = {}, 0, 0
        progress.line(
            f"epoch {position.epoch}/{self.settings.epochs}  train {train['loss']:.4f}  "
            f"validation {validation['loss']:.4f}{'  best' if better else ''}"
        )

    def _judged(self) -> nn.Module:
        """The module whose validation loss counts and whose weights are kept."""
        return self.average.module if self.average else self.objective

    @torch.no_grad()
    def _evaluate(self, module: nn.Module, batches: Batches[Any], source: str = "the validation data") -> Parts:
        """Parts of the loss over all examples of a source, in eval mode, with the same random numbers at every call."""
        module.eval()
        sums: Parts = {}
        broken = None
        for step, batch in self.processes.evaluates(batches):
            if broken is None:  # otherwise the rest is only read
                parts = self._evaluated(module, batch, step)
                _add(sums, parts | {"examples": 1.0}, len(batch))
                broken = None if all_finite(parts) else step
        sums, broken = self.processes.evaluated(sums, broken, len(batches), source)
        if broken is not None:
            batch = next(iter(batches.epoch(0, broken)))
            where = f"evaluation after epoch {self.position.epoch}, step {broken + 1}"
            self._stop(self._evaluated(module, batch, broken), batches.names(batch), where)
        examples = sums.pop("examples")
        return {name: total / examples for name, total in sums.items()}

    def _evaluated(self, module: nn.Module, batch: Any, step: int) -> Parts:
        generator = torch_generator(self.device, self.settings.seed, Purpose.VALIDATION, step)
        with self._precision():
            return numbers(module(batch, generator))

    def _stop(self, parts: Parts, names: list[str], where: str) -> NoReturn:
        raise not_finite(self.title, parts, names, where, self.objective)

    def _state(self) -> dict[str, Any]:
        return {
            "position": dict(vars(self.position)),
            "sums": self.sums,
            "curve": self.curve,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "best": self.best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for name, value in state["position"].items():
            setattr(self.position, name, value)
        self.sums, self.curve, self.best = state["sums"], state["curve"], state["best"]
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.module.load_state_dict(state["average"])


def _add(sums: Parts, parts: Parts, examples: int) -> None:
    for name, value in parts.items():
        sums[name] = sums.get(name, 0.0) + value * examples


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _row(epoch: int, train: Parts, validation: Parts) -> dict[str, float]:
    """A row of the curve: the two losses first, then their parts."""
    row: dict[str, float] = {"epoch": epoch, "train_loss": train["loss"], "validation_loss": validation["loss"]}
    for name in train:
        if name != "loss":
            row |= {f"train_{name}": train[name], f"validation_{name}": validation[name]}
    return row
