"""Colours of the light and dark schemes, for figures and page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours of one colour scheme; `categories` can be told apart with the common forms of colour blindness."""

    surface: str  # the page behind the figure, which is itself transparent
    ink: str
    muted: str
    rule: str
    model: str  # the model, and what it generates
    truth: str  # what was measured
    baseline: str  # baselines, and control cells
    categories: tuple[str, ...]
    further: tuple[str, ...]  # further categories: hues distinct from these and from grey


# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/) with indigo and olive in place of black and yellow, which
# vanish on one of the two backgrounds; the dark scheme has the same hues, lighter.
LIGHT = Theme(
    surface="#fcfcfa",
    ink="#1d2329",
    muted="#5c6670",
    rule="#dcdfe1",
    model="#c4500a",
    truth="#0069a6",
    baseline="#878e96",
    categories=("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#332288", "#8c8800"),
    further=("#882255", "#7a4a21", "#a8c64a", "#f2928c"),
)
DARK = Theme(
    surface="#15181b",
    ink="#e8eaec",
    muted="#a3acb5",
    rule="#353b41",
    model="#ff9b5e",
    truth="#62b8f2",
    baseline="#838c95",
    categories=("#4aa8e0", "#f0b429", "#2fc79a", "#e29cc4", "#9ad6f7", "#ff8a4c", "#a99cf2", "#cfcb4a"),
    further=("#d9709c", "#c08a5a", "#d3e59a", "#ffc2bd"),
)
