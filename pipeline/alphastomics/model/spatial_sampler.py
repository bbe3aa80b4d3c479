"""Sampling a tissue from a trained AlphaSTomics: positions from expression, expression from positions, or both.

A section larger than a neighbourhood is sampled in several that are stitched together: the first is a random sample of
the whole section; a part of it, the anchors, belongs to every later one, and keeps its positions. Where no frame is
shared, estimates are moved onto the anchors' positions at each step. So all end in one layout. Where expression is
sampled too, the anchors keep theirs.

B: neighbourhoods, N: cells, G: genes, S: spatial dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline.alphastomics.model.diffusion import Schedule, based, centred, position_noise
from pipeline.alphastomics.model.measured_cells import MeasuredCells
from pipeline.alphastomics.model.network import Denoised, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising, shown
from pipeline.alphastomics.model.rigid import rotation, turned

Mode = Literal["joint", "expr_to_pos", "pos_to_expr"]


class Expression(Protocol):
    """Standardised expression of the cells of a section, made dense for those asked for: a tensor (N, G) is one."""

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """(..., G) of rows (...), on the model's device."""


@dataclass(frozen=True)
class Given:
    """What is known of the cells of one section; all on the model's device."""

    x_NG: Expression | None  # not looked at where it is to be sampled
    position_NS: Tensor  # in the frame of a section; the same
    cell_type_N: Tensor  # int64 codes; the number of categories or more: unknown
    section: int  # code; the same
    measured: MeasuredCells | None = None  # cells in the same frame

    def __len__(self) -> int:
        return len(self.cell_type_N)


@dataclass(frozen=True)
class Sampling:
    """How to sample. One step is the estimate from noise alone; from 10 to the schedule's 1,000 make a sample."""

    mode: Mode
    steps: int = 100
    sampler: Literal["ddim", "ddpm"] = "ddim"
    guidance: float = 1.0  # estimate without condition + guidance · (with condition - without)
    neighbourhood: int = 1024  # cells that are sampled together, at most
    together: int = 4  # neighbourhoods that are sampled at once


class Sampled(NamedTuple):
    """A tissue: its positions, given or sampled, and its expression."""

    x_NG: Tensor  # sampled expression; (0, G) where it was given
    position_NS: Tensor  # in the shared frame; centred over the first neighbourhood where there is none


class _Clean(NamedTuple):
    """Neighbourhoods as the network takes them, with what is known of them."""

    x_BNG: Tensor
    position_BNS: Tensor
    mask_BN: Tensor
    cell_type_BN: Tensor
    section_B: Tensor
    near_place_BNKS: Tensor | None
    near_x_BNKG: Tensor | None


@torch.no_grad()
def sample(
    model: SpatialDiffusion, noising: Noising, given: Given, sampling: Sampling, generator: torch.Generator
) -> Sampled:
    """One draw of the whole tissue. FloatingPointError where the network's answer is not finite."""
    cells = len(given)
    position_NS = given.position_NS.clone()
    sampled_NG = position_NS.new_zeros(0 if sampling.mode == "expr_to_pos" else cells, model.config.genes)
    x_NG = given.x_NG if sampling.mode == "expr_to_pos" else sampled_NG
    assert x_NG is not None, "expression is given where it is not sampled"
    order = torch.randperm(cells, generator=generator, device=generator.device).to(position_NS.device)
    anchors = order[: sampling.neighbourhood // 2] if cells > sampling.neighbourhood else order[:0]
    placed = sampling.mode == "pos_to_expr"  # then positions are known, and nothing has to be stitched
    for number, group in enumerate(_groups(order, sampling, len(anchors) if not placed else 0)):
        stitched = number > 0 and not placed
        rows_BN, mask_BN = _padded([torch.cat([anchors, rows]) if stitched else rows for rows in group])
        known_BN = torch.zeros_like(mask_BN)
        known_BN[:, : len(anchors) if stitched else 0] = True
        x_BNG = x_NG[rows_BN] * mask_BN[..., None]
        clean = _Clean(
            x_BNG,
            position_NS[rows_BN],
            mask_BN,
            given.cell_type_N[rows_BN],
            torch.full((len(rows_BN),), given.section, device=position_NS.device),
            *_near(given, sampling.mode, x_BNG, rows_BN),
        )
        found = _sample(model, noising, clean, sampling, known_BN, generator)
        new_BN = mask_BN & ~known_BN
        if sampling.mode != "expr_to_pos":
            sampled_NG[rows_BN[new_BN]] = found.x_BNG[new_BN]
        if not placed:
            position_NS[rows_BN[new_BN]] = found.position_BNS[new_BN]
    return Sampled(sampled_NG, position_NS)


def _near(given: Given, mode: Mode, x_BNG: Tensor, rows_BN: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Estimates from measured cells, of places (B, N, K, S) or of expression (B, N, K, G)."""
    if given.measured is None or mode == "joint":
        return None, None
    rows = rows_BN.flatten()
    if mode == "expr_to_pos":
        places = given.measured.places(x_BNG.flatten(0, 1).cpu().numpy())
        return torch.from_numpy(places).to(x_BNG.device).reshape(*rows_BN.shape, *places.shape[1:]), None
    position_NS, cell_type_N = (value[rows].cpu().numpy() for value in (given.position_NS, given.cell_type_N))
    expressions = given.measured.expressions(position_NS, cell_type_N)
    return None, torch.from_numpy(expressions).to(x_BNG.device).reshape(*rows_BN.shape, *expressions.shape[1:])


def _groups(order: Tensor, sampling: Sampling, anchors: int) -> Iterator[list[Tensor]]:
    """The new cells of the neighbourhoods that are sampled at once: the first by itself, since the others need it."""
    first, rest = order[: sampling.neighbourhood], order[sampling.neighbourhood :]
    yield [first]
    if len(rest):
        size = sampling.neighbourhood - anchors
        parts = list(torch.tensor_split(rest, -(-len(rest) // size)))
        for start in range(0, len(parts), sampling.together):
            yield parts[start : start + sampling.together]


def _padded(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows (B, N), padded with the first cell, and where there is a cell."""
    longest = max(map(len, rows))
    lengths = torch.tensor([len(part) for part in rows], device=rows[0].device)
    rows_BN = torch.stack([torch.cat([part, part.new_zeros(longest - len(part))]) for part in rows])
    return rows_BN, torch.arange(longest, device=rows_BN.device) < lengths[:, None]


def _sample(
    model: SpatialDiffusion,
    noising: Noising,
    clean: _Clean,
    sampling: Sampling,
    known_BN: Tensor,
    generator: torch.Generator,
) -> Denoised:
    """Neighbourhoods (B, N, ...) from noise; `known` cells keep what was sampled of them, and the others are placed
    around them."""
    batch, dimensions = len(clean.x_BNG), clean.position_BNS.shape[2]
    x_noised, position_noised = sampling.mode != "expr_to_pos", sampling.mode != "pos_to_expr"
    x_BNG, position_BNS = clean.x_BNG, based(clean.position_BNS, clean.mask_BN, model.shared_frame)
    if x_noised:
        x_BNG = torch.randn(x_BNG.shape, generator=generator, device=x_BNG.device) * clean.mask_BN[..., None]
    if position_noised:
        position_BNS = position_noise(clean.mask_BN, dimensions, generator, model.shared_frame)
    times = noising.position.strided(sampling.steps)
    unshown = _noise_of_condition(model, clean, sampling, generator) if sampling.guidance != 1.0 else None
    for now, then in pairwise(times):
        t_B, s_B = (torch.full((batch,), time, device=x_BNG.device) for time in (now, then))
        zero_B = torch.zeros_like(t_B)
        x_time_B, position_time_B = t_B if x_noised else zero_B, t_B if position_noised else zero_B
        found = _estimate(model, noising, clean, x_BNG, position_BNS, x_time_B, position_time_B)
        if unshown is not None:
            found = _guided(model, noising, clean, sampling, found, unshown, x_BNG, position_BNS, t_B)
        if not (torch.isfinite(found.x_BNG).all() and torch.isfinite(found.position_BNS).all()):
            raise FloatingPointError("the network's estimate of expression or position is not finite")
        if x_noised:  # anchors are sampled already, their expression as much as their place
            estimate_BNG = torch.where(known_BN[..., None], clean.x_BNG, found.x_BNG)
            x_BNG = _step(noising.expression, x_BNG, estimate_BNG, t_B, s_B, sampling, generator)
            x_BNG = x_BNG * clean.mask_BN[..., None]
        if position_noised:
            estimate_BNS = found.position_BNS
            if not model.shared_frame:  # the loss knows no direction, so the estimate is turned to where the noise is
                estimate_BNS = turned(estimate_BNS, position_BNS, clean.mask_BN)
            if bool(known_BN.any()):
                estimate_BNS = _anchored(estimate_BNS, clean, known_BN, model.shared_frame)
            position_BNS = _step(noising.position, position_BNS, estimate_BNS, t_B, s_B, sampling, generator)
            position_BNS = based(position_BNS, clean.mask_BN, model.shared_frame)
    if position_noised and bool(known_BN.any()) and not model.shared_frame:
        position_BNS = position_BNS + _offset(position_BNS, clean.position_BNS, known_BN)
    return Denoised(x_BNG, position_BNS, [])


def _estimate(
    model: SpatialDiffusion,
    noising: Noising,
    clean: _Clean,
    x_BNG: Tensor,
    position_BNS: Tensor,
    x_time_B: Tensor,
    position_time_B: Tensor,
) -> Denoised:
    cells = shown(clean, noising, x_BNG, position_BNS, x_time_B, position_time_B)
    return noising.clean(model(cells), cells, x_time_B, position_time_B)


def _noise_of_condition(
    model: SpatialDiffusion, clean: _Clean, sampling: Sampling, generator: torch.Generator
) -> Tensor:
    """What stands for a condition that is not shown: pure noise. Nothing is conditioned on in `joint`: ValueError."""
    if sampling.mode == "joint":
        raise ValueError("guidance needs a condition, and joint sampling has none")
    if sampling.mode == "expr_to_pos":
        noise_BNG = torch.randn(clean.x_BNG.shape, generator=generator, device=clean.x_BNG.device)
        return noise_BNG * clean.mask_BN[..., None]
    return position_noise(clean.mask_BN, clean.position_BNS.shape[2], generator, model.shared_frame)


def _guided(
    model: SpatialDiffusion,
    noising: Noising,
    clean: _Clean,
    sampling: Sampling,
    found: Denoised,
    unshown: Tensor,
    x_BNG: Tensor,
    position_BNS: Tensor,
    t_B: Tensor,
) -> Denoised:
    """Classifier-free guidance (Ho and Salimans, 2022); no condition is a condition at time T (Bao et al., "One
    transformer fits all distributions in multi-modal diffusion at scale", 2023)."""
    full_B = torch.full_like(t_B, noising.position.steps)
    if sampling.mode == "expr_to_pos":
        without = _estimate(model, noising, clean, unshown, position_BNS, full_B, t_B)
        free_BNS = without.position_BNS
        if not model.shared_frame:
            free_BNS = turned(free_BNS, found.position_BNS, clean.mask_BN)
        return found._replace(position_BNS=torch.lerp(free_BNS, found.position_BNS, sampling.guidance))
    without = _estimate(model, noising, clean, x_BNG, unshown, t_B, full_B)
    return found._replace(x_BNG=torch.lerp(without.x_BNG, found.x_BNG, sampling.guidance))


def _anchored(estimate_BNS: Tensor, clean: _Clean, known_BN: Tensor, shared_frame: bool) -> Tensor:
    """The estimate with the known cells exactly where they are known to be. Where no frame is shared, it is moved and
    turned beforehand so that they come near it, and centred over all cells afterwards."""
    if shared_frame:
        return torch.where(known_BN[..., None], clean.position_BNS, estimate_BNS)
    anchor_BNS, centre_B1S = _about_known(clean.position_BNS, known_BN)
    near_BNS, mean_B1S = _about_known(estimate_BNS, known_BN)
    moved_BNS = (estimate_BNS - mean_B1S) @ rotation(near_BNS, anchor_BNS, known_BN).mT.to(estimate_BNS.dtype)
    put_BNS = torch.where(known_BN[..., None], clean.position_BNS, moved_BNS + centre_B1S)
    return centred(put_BNS, clean.mask_BN)


def _about_known(position_BNS: Tensor, known_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Positions less the mean over known cells, zeros elsewhere; and that mean (B, 1, S)."""
    unknown_BN1 = ~known_BN[..., None]  # not a product: what is not known may hold anything, NaN included
    mean_B1S = position_BNS.masked_fill(unknown_BN1, 0).sum(1, keepdim=True) / known_BN.sum(1)[:, None, None]
    return (position_BNS - mean_B1S).masked_fill(unknown_BN1, 0), mean_B1S


def _offset(position_BNS: Tensor, clean_BNS: Tensor, known_BN: Tensor) -> Tensor:
    """From a neighbourhood's centred positions to those in which its known cells are known, (B, 1, S)."""
    return _about_known(clean_BNS, known_BN)[1] - _about_known(position_BNS, known_BN)[1]


def _step(
    schedule: Schedule,
    value: Tensor,
    estimate: Tensor,
    t_B: Tensor,
    s_B: Tensor,
    sampling: Sampling,
    generator: torch.Generator,
) -> Tensor:
    if sampling.sampler == "ddim":
        return schedule.ddim_step(value, estimate, t_B, s_B)
    noise = torch.randn(value.shape, generator=generator, device=value.device)
    return schedule.ddpm_step(value, estimate, t_B, s_B, noise)
