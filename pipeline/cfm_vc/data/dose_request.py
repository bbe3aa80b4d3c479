"""Which treatments and doses a user asks for, in words that training settled (pipeline.data.doses)."""

from collections.abc import Mapping

from pipeline.core.errors import ExpectedError
from pipeline.data.doses import Doses
from pipeline.data.source import close_to, listed
from pipeline.params.allowed import check
from pipeline.params.section import Dose

DoseRequest = float | Mapping[str, float] | None  # one dose, or one for each treatment by name


def doses_asked(known: Doses, perturbation: str, dose: DoseRequest = None) -> dict[str, float]:
    """{treatment: dose} of a perturbation; {} for the control.

    A label of the training data stands for the doses it had there. Anything else is a treatment, or several joined by
    "+": those that training saw together at one set of doses at these, others each at its largest dose, unless `dose`
    says otherwise. ExpectedError: a name that training
    never saw, a dose for a treatment that is not asked for, one dose for several treatments, a dose that is negative or
    not finite.
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
    """A line for every dose outside the range of the training data, where predictions are extrapolations."""
    lines = []
    for treatment, dose in doses.items():
        smallest, largest = known.range_of(treatment)
        if not smallest <= dose <= largest:
            seen = f"{smallest:g}" if smallest == largest else f"{smallest:g} to {largest:g}"
            lines.append(f"dose {dose:g} of {treatment} lies outside those of the training data ({seen})")
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
    if len(together) == 1:  # a combination that training saw at one set of doses, its parts named in another order
        return dict(together[0])
    return {treatment: known.range_of(treatment)[1] for treatment in treatments}
