"""Resolve a requested perturbation to doses of the treatments seen in training (see `pipeline.data.doses`)."""

from collections.abc import Mapping

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import close_to, listed
from pipeline.data.doses import Doses
from pipeline.params.allowed import check
from pipeline.params.section import Dose

DoseRequest = float | Mapping[str, float] | None  # one dose, or {treatment: dose}


def doses_asked(known: Doses, perturbation: str, dose: DoseRequest = None) -> dict[str, float]:
    """{treatment: dose} of a perturbation; {} for the control.

    A label of the training data has its training doses. Any other name is a treatment, or several joined by "+": a
    combination seen at a single set of doses has those, otherwise each treatment has its largest training dose. `dose`
    overrides these defaults. ExpectedError for an unknown name, a dose of a treatment that was not requested, a single
    dose for several treatments, and a dose that is negative or not finite.
    """
    doses = _at_training_doses(known, perturbation)
    if dose is None:
        return doses
    given = dose
    if not isinstance(given, Mapping):
        if len(doses) != 1:
            treatments = listed(doses) if doses else "no treatment: it is the control"
            raise ExpectedError(
                f"one dose for {perturbation!r}, which stands for {treatments}; give each treatment its own, "
                "such as --dose A=1 --dose B=0.5, or none"
            )
        given = dict.fromkeys(doses, given)
    for treatment, value in given.items():
        if treatment not in doses:
            raise ExpectedError(
                f"a dose of {treatment!r}, which {perturbation!r} does not contain{close_to(treatment, list(doses))}; "
                f"it stands for {listed(doses)}"
            )
        check(Dose, f"dose of {treatment!r}", value)
    return doses | {treatment: float(value) for treatment, value in given.items()}


def outside_training(known: Doses, doses: Mapping[str, float]) -> list[str]:
    """A warning for every dose outside the training range, where predictions are extrapolations."""
    lines = []
    for treatment, dose in doses.items():
        smallest, largest = known.range_of(treatment)
        if not smallest <= dose <= largest:
            seen = f"{smallest:g}" if smallest == largest else f"{smallest:g} to {largest:g}"
            lines.append(f"dose {dose:g} of {treatment} is outside the training range ({seen})")
    return lines


def _at_training_doses(known: Doses, perturbation: str) -> dict[str, float]:
    if perturbation in known.of_label:
        return dict(known.of_label[perturbation])
    treatments = [perturbation] if perturbation in known.treatments else perturbation.split("+")
    unknown = [treatment for treatment in treatments if treatment not in known.treatments]
    if unknown:
        names = list(dict.fromkeys([*known.of_label, *known.treatments]))
        part = f", in {perturbation!r}," if len(treatments) > 1 else ""
        raise ExpectedError(
            f"perturbation {unknown[0]!r}{part} is unknown to the model{close_to(unknown[0], names)}; "
            f"it knows {listed(names, 20)}"
        )
    if len(set(treatments)) < len(treatments):
        raise ExpectedError(f"perturbation {perturbation!r} names a treatment twice")
    together = [doses for doses in known.of_label.values() if set(doses) == set(treatments)]
    if len(together) == 1:  # seen in training at a single set of doses; the order of the names does not matter
        return dict(together[0])
    return {treatment: known.range_of(treatment)[1] for treatment in treatments}
