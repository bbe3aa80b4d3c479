"""What a mixture's forecasts are worth, and what its experts do for it: by one pass over the windows.

B: windows, C: channels, H: rows of the horizon, E: experts.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.metrics.forecasting import ForecastErrors, Units, forecast_errors
from pipeline.mole.model.cycle_mixture import CycleMixture
from pipeline.mole.model.mixture import Mole, largest_only

Network = Mole | CycleMixture

Choice = Callable[[Tensor], Tensor]  # the router's logits (B, C, E), with -inf for the experts that are left out


class Variant(NamedTuple):
    """A mixture with fewer experts than it was trained with."""

    way: str  # prune or top_k
    experts: int  # that are left for a window


@torch.no_grad()
def score(forecast: Callable[[WindowBatch], Tensor], batches: Iterable[WindowBatch], units: Units) -> ForecastErrors:
    """Errors of (B, C, H) forecasts over every window. ValueError where there is none."""
    total = None
    for batch in batches:
        found = _errors(forecast(batch), batch, units)
        total = found if total is None else total.joined(found)
    if total is None:
        raise ValueError("no window to score")
    return total


@torch.no_grad()
def mean_squared_error(forecast: Callable[[WindowBatch], Tensor], batches: Iterable[WindowBatch]) -> float:
    """Over all windows, channels and steps."""
    squares, values = 0.0, 0
    for batch in batches:
        squares += float((batch.y_BCH - forecast(batch)).square().sum(dtype=torch.float64))
        values += batch.y_BCH.numel()
    return squares / values


@torch.no_grad()
def scores(
    model: Network, batches: Iterable[WindowBatch], variants: Mapping[Variant, Choice], units: Units
) -> tuple[ForecastErrors, dict[Variant, ForecastErrors]]:
    """Errors of the model as it is, and of each variant: the experts' forecasts are worked out once for all of them."""
    whole, others = [], {variant: [] for variant in variants}  # type: ignore[var-annotated]
    for batch in batches:
        heads, logit_BCE = model.asked(batch)
        whole.append(_errors(model.mixed(heads, model.weights_of(logit_BCE)), batch, units))
        for variant, choose in variants.items():
            weight_BCE = model.weights_of(choose(logit_BCE))
            others[variant].append(_errors(model.mixed(heads, weight_BCE), batch, units))
    return _total(whole), {variant: _total(parts) for variant, parts in others.items()}


@torch.no_grad()
def all_router_weights(model: Network, batches: Iterable[WindowBatch]) -> Tensor:
    """(N, C, E) of every window, at the row whose time the router sees."""
    return torch.cat([model.weights_in_time(batch).cpu() for batch in batches])


def variants_of(experts: int, by_service: list[int]) -> dict[Variant, Choice]:
    """Every way of keeping fewer experts: the most serving ones for all windows (prune), or each window's own (top_k).

    The same as `expert_pruning.pruned`, and as a model whose `top_k` is that many.
    """
    found: dict[Variant, Choice] = {}
    for count in range(1, experts):
        found[Variant("prune", count)] = partial(_only, sorted(by_service[count:]))
        found[Variant("top_k", count)] = partial(largest_only, count=count)
    return found


def _errors(forecast_BCH: Tensor, batch: WindowBatch, units: Units) -> ForecastErrors:
    """With what known columns add to both sides: no difference of them, but of relative errors."""
    return forecast_errors(batch.with_effects(forecast_BCH), batch.with_effects(batch.y_BCH), units)


def _only(left_out: list[int], logit_BCE: Tensor) -> Tensor:
    return logit_BCE.index_fill(2, torch.tensor(left_out, device=logit_BCE.device), -math.inf)


def _total(parts: list[ForecastErrors]) -> ForecastErrors:
    total = parts[0]
    for part in parts[1:]:
        total = total.joined(part)
    return total
