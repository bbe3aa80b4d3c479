"""The right size of an effect: the flow's change of mean expression, calibrated and averaged with a closed-form prior.

B: reference cells, training controls of the cell type; G: genes; R: training groups; P: treatments.

A flow predicts too small a change, also in the groups that it was trained on. So its change is multiplied by `size`,
one over its mean slope in these, and then averaged with the closed-form expectation from the other contexts
(`ResponsePrior`), whose errors are other ones. What is expected of a new context is smaller than what happens there,
since what is specific to it cannot be foreseen. By how much, the prior says: the less, the more the context resembles
those that were measured. It is made up for: the average is divided by the root of the prior's reliability there, so
that its variance over genes is that of a true response. That is no better in mean squared error, but it is in
distances between populations and in the size of the effect. A combination or dose
that no context was measured under is what its treatments add up to (`additive_change`), where each was measured alone:
of these the flow knows less, so it does not carry the cells either. Members of an ensemble, each a VAE and a flow with
a calibration of their own, are averaged.

The decoded cells get this change of the mean by an offset per gene of the decoder's logits, found by stochastic
approximation (Robbins and Monro, 1951) on reference cells. It is the same for all cells of a type: what is predicted of
a cell does not depend on the cells predicted with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.cfm_vc.data.contexts import Calibration, Contexts
from pipeline.cfm_vc.data.groups import Group, Moments
from pipeline.cfm_vc.model.additive import additive_change, adds_up, changes
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.generate import sample_counts
from pipeline.cfm_vc.model.intervals import Interval, Intervals
from pipeline.cfm_vc.model.question import Question
from pipeline.cfm_vc.model.response_prior import ResponsePrior
from pipeline.cfm_vc.model.transport import Solution, transported, with_offset
from pipeline.cfm_vc.model.vae import Vae
from pipeline.training.determinism import Purpose, torch_generator

DRAWS = 4  # count samples per reference cell, of which there are at most `CELLS_PER_TYPE`
CHANGE_DRAWS = 4  # ... times these for the change of the mean
STEPS, FULL_STEPS = 24, 8  # of the approximation; after the full ones the rate falls as one over the step
FLOOR = 2e-3  # counts per library of the target size, below which the ratio of two means is noise
LARGEST_OFFSET = 8.0  # of a logit
MOST_GROUPS = 200  # by which the size is measured
LARGEST_TRANSFER = 2.0  # in a new context, of which hardly anything is foreseen

Array = npt.NDArray[np.float64]
Doses = npt.NDArray[np.float32]


class Member(NamedTuple):
    """One of the models that are averaged."""

    vae: Vae
    field: FlowField
    calibration: Calibration


class Effect(NamedTuple):
    """Predicted change of mean log-normalised expression in a context, from the measured mean of its controls, and the
    part of it that is expected to be their noise; its interval (None: unknown), its standard deviation over members
    (None: there is one); the doses under which the flow transports the context's cells, and the
    offset of their logits that then makes the change."""

    change_G: Array
    noise_G: Array
    interval: Interval | None
    deviation_G: Array | None
    doses_P: Doses
    offset_G: Tensor


class Effects:
    """Effects of a trained model, averaged with those of other members, by cell type and doses, each computed once."""

    def __init__(
        self,
        vae: Vae,
        field: FlowField,
        solution: Solution,
        contexts: Contexts,
        others: Sequence[Member] = (),
        largest_transfer: float = LARGEST_TRANSFER,
    ) -> None:
        self._members = (Member(vae, field, contexts.calibration), *others)  # the first decodes
        self._solution, self._largest_transfer = solution, largest_transfer
        self._use_prior = any(member.calibration.prior_weight for member in self._members)
        self._contexts, self._doses_CP = contexts, contexts.doses_CP
        self._found: dict[tuple[int, bytes], Effect | None] = {}
        control = contexts.control_code
        self._controls = {
            cell_type: mean_G for (cell_type, label), mean_G in contexts.means.items() if label == control
        }
        known = changes(contexts.means, control)
        self.prior = ResponsePrior.fit(self._controls, known) if known else None
        self._intervals: dict[bool, Intervals | None] = {}  # by whether the context's own response is known

    def of(self, cell_type: int, p_P: Doses) -> Effect | None:
        """None where the flow's prediction stands as it is: for controls, for a cell type without training controls,
        and if nothing is to be calibrated."""
        inert = len(self._members) == 1 and self._contexts.calibration == Calibration(1.0, 0.0)
        if inert or not p_P.any() or cell_type not in self._controls:
            return None
        key = (cell_type, p_P.tobytes())
        if key not in self._found:
            self._found[key] = self._calibrated(cell_type, p_P)
        return self._found[key]

    def applied(self, cell_type_B: npt.NDArray[np.int64], p_P: Doses) -> tuple[Doses, Tensor | None]:
        """For each of these cells the doses (B, P) under which it is transported, and the offsets of the logits (B, G)
        that it is then decoded with; None where there are none."""
        types, place_B = np.unique(cell_type_B, return_inverse=True)
        found = [self.of(int(cell_type), p_P) for cell_type in types]
        place_B = place_B.reshape(-1)
        doses_TP = np.stack([p_P if effect is None else effect.doses_P for effect in found])
        if not any(found):
            return doses_TP[place_B], None
        none_G = torch.zeros(len(self._contexts.genes), device=self._device)
        offset_TG = torch.stack([none_G if effect is None else effect.offset_G for effect in found])
        return doses_TP[place_B], offset_TG[torch.from_numpy(place_B).to(self._device)]

    def flow_change(self, cell_type: int, p_P: Doses, member: int = 0) -> Array:
        """Change (G,) of mean log-normalised expression by a member's flow alone, in the reference cells."""
        cells_BG, means = self._references(cell_type, p_P, torch.zeros((), device=self._device), member)
        mean_G = torch.stack([next(means) for _ in range(CHANGE_DRAWS)]).mean(dim=0)
        found: Array = (mean_G - self._mean_expression(cells_BG)).double().cpu().numpy()
        return found

    @property
    def _device(self) -> torch.device:
        return self._members[0].vae.log_theta_G.device

    def _calibrated(self, cell_type: int, p_P: Doses) -> Effect:
        contexts, control_G = self._contexts, self._controls[cell_type]
        label, changes = self._label(p_P), []
        expected_G = self._expected(cell_type, label, p_P) if self._use_prior else np.zeros_like(control_G)
        elsewhere = label in {other for _, other in contexts.means}
        a_sum = not elsewhere and adds_up(p_P, self._doses_CP, contexts.means)
        by_flow = not (a_sum and self._members[0].calibration.prior_weight)
        for number, (_, _, of) in enumerate(self._members):
            if a_sum and of.prior_weight:
                changes.append(expected_G)
                continue
            change_G = (1 - of.prior_weight) * of.size * self.flow_change(cell_type, p_P, number)
            change_G = change_G + of.prior_weight * expected_G
            changes.append(change_G)
        transfer = self._transfer(cell_type, label)
        change_MG = transfer * np.stack(changes)
        change_G = np.maximum(change_MG.mean(axis=0), -control_G)
        deviation_G = change_MG.std(axis=0, ddof=1) if len(change_MG) > 1 else None
        offset_G = torch.zeros(len(contexts.genes), device=self._device)
        doses_P = p_P if by_flow else np.zeros_like(p_P)
        cells_BG, means = self._references(cell_type, doses_P, offset_G)
        wished_G = self._mean_expression(cells_BG) + torch.from_numpy(change_G).to(offset_G)
        wished_G = torch.expm1(wished_G.clamp(min=0.0)) + FLOOR
        for step in range(STEPS):
            rate = min(1.0, FULL_STEPS / (step + 1))
            offset_G += rate * torch.log(wished_G / (torch.expm1(next(means)) + FLOOR))
            offset_G.clamp_(-LARGEST_OFFSET, LARGEST_OFFSET)
        interval = None if self._beyond(p_P) else self._interval(cell_type, control_G, change_G, label)
        noise_G = np.zeros_like(control_G)
        if self._use_prior and self.prior is not None and label in self.prior.contexts:
            share = min(transfer * float(np.mean([of.prior_weight for _, _, of in self._members])), 1.0)
            variance_G = contexts.noise[cell_type, contexts.control_code]
            noise_G = share * self.prior.context_response.controls_noise(cell_type, variance_G)
        return Effect(change_G, noise_G, interval, deviation_G, doses_P, offset_G)

    def _interval(self, cell_type: int, control_G: Array, change_G: Array, label: int) -> Interval | None:
        if self.prior is None:
            return None
        contexts, response = self._contexts, self.prior.context_response
        known = cell_type in response.found
        if known not in self._intervals:
            measured = (contexts.means, contexts.noise, contexts.control_code)
            self._intervals[known] = Intervals.of(self.prior, *measured, like=cell_type)
        intervals = self._intervals[known]
        if intervals is None:
            return None
        noise_G = contexts.noise[cell_type, contexts.control_code] * response.untold((cell_type, label))
        expected = self.prior.variance(control_G, label) if label in self.prior.contexts else None
        return intervals.around(control_G, change_G, noise_G, expected)

    def _beyond(self, p_P: Doses) -> bool:
        """Whether a dose is smaller or larger than all that were measured: how far off such an effect may be, the
        misses of measured ones do not tell."""
        measured_CP = self._doses_CP[sorted({label for _, label in self._contexts.means})]
        smallest_P = np.where(measured_CP > 0, measured_CP, np.inf).min(axis=0)
        return bool(((p_P > 0) & ((p_P < smallest_P) | (p_P > measured_CP.max(axis=0)))).any())

    def _label(self, p_P: Doses) -> int:
        """The code of the perturbation with these doses; one past the last where there is none."""
        labels = np.flatnonzero((self._doses_CP == p_P).all(axis=1))
        return int(labels[0]) if len(labels) else len(self._doses_CP)

    def _transfer(self, cell_type: int, label: int) -> float:
        """What the change is multiplied by where the perturbation was measured, but not in this cell type."""
        contexts, prior = self._contexts, self.prior
        new = (cell_type, label) not in contexts.means
        if not (new and self._use_prior and prior is not None and label in prior.contexts):
            return 1.0
        own, control = prior.context_response, contexts.control_code
        codes = prior.contexts[label].codes
        noise_CG = [own.sampling_noise((code, label), contexts.noise, control, like=cell_type) for code in codes]
        reliability = prior.reliability(self._controls[cell_type], label, np.stack(noise_CG).mean(axis=1), cell_type)
        return min(reliability**-0.5, self._largest_transfer) if reliability > 0 else self._largest_transfer

    def _expected(self, cell_type: int, label: int, p_P: Doses) -> Array:
        """The change by the prior, or the additive one where the perturbation was measured in no context."""
        contexts = self._contexts
        if self.prior is not None and label in self.prior.contexts:
            return self.prior(self._controls[cell_type], label, cell_type)
        nothing_BG = np.zeros((0, 0), np.float32)
        asked = (cell_type, label, contexts.control_code, p_P, self._doses_CP)
        question = Question(*asked, contexts.cells, nothing_BG, contexts.target, {})
        return additive_change(question, contexts.means)

    @torch.no_grad()
    def _references(
        self, cell_type: int, p_P: Doses, offset: Tensor, member: int = 0
    ) -> tuple[Tensor, Iterator[Tensor]]:
        """Counts of the reference cells, and endlessly their mean expression under p by a member, with `offset` as it
        then is, each from new draws."""
        vae, field, _ = self._members[member]
        generator = torch_generator(self._device, 0, Purpose.CALIBRATION, cell_type)
        cells = self._contexts.cells.select(np.flatnonzero(self._contexts.cells.cell_type == cell_type))
        p_BP = np.tile(p_P, (len(cells), 1))
        x_BG, generated = transported(vae, field, cells, p_BP, self._solution, generator)

        @torch.no_grad()
        def means() -> Iterator[Tensor]:
            while True:
                made = with_offset(generated, offset, x_BG.sum(dim=1))
                samples = sample_counts(vae, made, x_BG, self._solution.source, generator, DRAWS)
                yield torch.stack([self._mean_expression(sample_BG) for sample_BG in samples]).mean(dim=0)

        return x_BG, means()

    def _mean_expression(self, x_BG: Tensor) -> Tensor:
        """Mean log-normalised expression, (G,)."""
        scale_B1 = self._contexts.target / x_BG.sum(dim=1, keepdim=True).clamp(min=1.0)
        return torch.log1p(x_BG * scale_B1).mean(dim=0)


def calibrated(effects: Effects, known: Mapping[Group, Moments], contexts: Contexts, most: float) -> Calibration:
    """Measured on the training groups, whose moments are `known`; 1 and the least weight where no group tells.

    size: one over the mean slope of the flow's change on the true one, from 1 to `most`. prior_weight: that of least
    squared error, from that of `contexts` to 1; the flow has seen these groups, the prior predicts each from the other
    contexts, so that a flow which is worse even here has little to say.
    """
    control, doses_CP, least = contexts.control_code, contexts.doses_CP, contexts.calibration.prior_weight
    groups = [group for group in known if group[1] != control and (group[0], control) in known]
    chosen = [groups[place] for place in np.linspace(0, len(groups) - 1, min(len(groups), MOST_GROUPS)).astype(int)]
    told = [group for group in chosen if _mostly_signal(known, group, control)]
    by_flow = {group: effects.flow_change(group[0], doses_CP[group[1]]) for group in told}
    size = _one_over_slope(by_flow, known, control, most)
    left_out = effects.prior.left_out() if effects.prior and least else {}
    by_prior = {group: left_out[group] for group in told if group in left_out}
    weight, square = 0.0, 0.0
    for group, expected_G in by_prior.items():
        flow_G = size * by_flow[group]
        weight += float((_change(known, group, control)[0] - flow_G) @ (expected_G - flow_G))
        square += float((expected_G - flow_G) @ (expected_G - flow_G))
    weight = float(np.clip(weight / square, least, 1.0)) if square > 0 else least
    return Calibration(size, weight)


def _one_over_slope(
    predicted: Mapping[Group, Array], known: Mapping[Group, Moments], control: int, most: float
) -> float:
    """Of the least squares over genes of the predicted on the true change, from 1 to `most`.

    The variance of the true change is freed of that by the sampling of cells: a group of few, whose measured change is
    mostly noise, would seem to be predicted too small.
    """
    slopes = []
    for group, predicted_G in predicted.items():
        change_G, noise = _change(known, group, control)
        slopes.append(float(np.cov(predicted_G, change_G, ddof=0)[0, 1]) / (float(change_G.var()) - noise))
    slope = float(np.mean(slopes)) if slopes else 1.0
    return float(np.clip(1 / slope, 1.0, most)) if slope > 0 else 1.0


def _mostly_signal(known: Mapping[Group, Moments], group: Group, control: int) -> bool:
    change_G, noise = _change(known, group, control)
    return noise < 0.5 * float(change_G.var())


def _change(known: Mapping[Group, Moments], group: Group, control: int) -> tuple[Array, float]:
    """The measured change (G,) of the mean, and the variance that the sampling of cells gives it, mean over genes."""
    treated, untreated = known[group], known[group[0], control]
    return treated.mean_G - untreated.mean_G, float((treated.noise_G + untreated.noise_G).mean())
