"""Experts of a mixture: their usage, overall, by class and by epoch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.plots.heatmap import draw_heatmap
from pipeline.plots.ranking import SMALL_WIDTH
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, picture, shortened

LIMIT = 0.25  # of the fair share, below which an expert counts as hardly used
_MOST_NAMED = 24  # classes with readable names
_MOST_DOTTED = 16  # experts whose dots do not overlap
_MOST_WRITTEN = 84  # cells with a number


def draw_usage(title: str, share_RE: Floats, what: str = "share of the tokens") -> Picture:
    """A bar per expert, from the most to the least used of each seed: mean of `what`, standard deviation, and a dot per
    seed. R: seeds, E: experts."""
    ranked_RE = -np.sort(-share_RE, axis=1)
    mean_E = ranked_RE.mean(0)
    seeds, experts = ranked_RE.shape
    deviation_E = ranked_RE.std(0, ddof=1) if seeds > 1 else np.zeros(experts)
    highest = max(float((mean_E + deviation_E).max()), float(ranked_RE.max()), 1 / experts)
    place_E = np.arange(1, experts + 1)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid(axis="y")
        axes.bar(place_E, mean_E, width=0.7, color=theme.truth, alpha=0.55, linewidth=0)
        if seeds > 1:
            axes.errorbar(place_E, mean_E, deviation_E, fmt="none", ecolor=theme.ink, elinewidth=1.4)
            for of_seed_E in ranked_RE if experts <= _MOST_DOTTED else []:
                axes.plot(place_E + 0.22, of_seed_E, "o", color=theme.truth, markersize=4.5, markeredgewidth=0)
        axes.set_ylim(0, 1.12 * highest)
        _levels(axes, theme, experts)
        axes.set_xlabel("experts, from the most to the least used")
        axes.set_ylabel(what)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if experts <= _MOST_DOTTED:
            axes.set_xticks(place_E)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))

    alt = (
        f"{title}: {what} of {experts} experts, from the most used with {mean_E[0]:.0%} to the least used "
        f"with {mean_E[-1]:.1%}; a fair share is {1 / experts:.1%}."
    )
    return picture(draw, alt)


def draw_classes(title: str, tokens_EK: npt.NDArray[np.int64], classes: Sequence[str]) -> Picture:
    """Heatmap: share of the tokens of each class (column) routed to each expert (row). E: experts, K: classes."""
    share_EK = tokens_EK / np.maximum(tokens_EK.sum(0), 1)
    experts, number = share_EK.shape
    named = number <= _MOST_NAMED
    if not named:  # group classes by expert, to make structure visible
        order_K = np.lexsort((-share_EK.max(0), share_EK.argmax(0)))
        share_EK = share_EK[:, order_K]
    names = [shortened(name, 12) for name in classes]
    highest = float(share_EK.max()) or 1.0

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        draw_heatmap(axes, theme, share_EK / highest, 0.5 * named)
        if share_EK.size <= _MOST_WRITTEN:
            for (expert, label), share in np.ndenumerate(share_EK):
                ink = theme.surface if share > 0.55 * highest else theme.ink
                text = f"{100 * share:.0f}"
                axes.text(label + 0.5, expert + 0.5, text, ha="center", va="center", color=ink, fontsize=11)
        shown = range(0, experts, max(1, -(-experts // 16)))
        axes.set_yticks([expert + 0.5 for expert in shown], [str(expert) for expert in shown])
        if named:
            upright = max(map(len, names)) <= 3 or number * max(map(len, names)) <= 45
            axes.set_xticks(np.arange(number) + 0.5, names, rotation=0 if upright else 90)
        else:
            axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("class" if named else f"{number} classes, grouped by expert")
        axes.set_ylabel("expert")

    favourites = ", ".join(
        f"expert {expert}: {int((share_EK.argmax(0) == expert).sum())}" for expert in range(min(experts, 12))
    )
    alt = (
        f"{title}: share of the tokens of each of {number} classes routed to each of {experts} experts, in per cent. "
        f"Number of classes in which an expert has the largest share: {favourites}."
    )
    return picture(draw, alt, PANEL_WIDTH, round(110 + min(330, 34 * experts)))


def draw_usage_by_epoch(title: str, epoch_T: Floats, share_TE: Floats) -> Picture:
    """The share of the tokens of each expert after each epoch, in one training; the most and least used are labelled.

    T: epochs, E: experts.
    """
    experts = share_TE.shape[1]
    order = np.argsort(-share_TE[-1], kind="stable")

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 40))
        axes.grid(axis="y")
        for rank, expert in enumerate(order):
            last = rank == experts - 1
            colour = theme.model if last else theme.truth
            axes.plot(
                epoch_T,
                share_TE[:, expert],
                color=colour,
                linewidth=2.2 if last else 1.6 if experts <= _MOST_DOTTED else 0.8,
                alpha=1.0 if last else 0.95 - 0.65 * rank / max(experts - 1, 1),
                marker="o" if len(epoch_T) == 1 else "",
                zorder=3 if last else 2,
            )
        axes.set_ylim(0, 1.12 * max(float(share_TE.max()), 1 / experts))
        _levels(axes, theme, experts)
        axes.set_xlabel("epoch")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    alt = (
        f"{title}: share of the tokens of {experts} experts over {len(epoch_T)} epochs. At the end the most used has "
        f"{share_TE[-1, order[0]]:.0%} and the least used {share_TE[-1, order[-1]]:.1%}; a fair share is "
        f"{1 / experts:.1%}."
    )
    return picture(draw, alt, SMALL_WIDTH, 250)


def _levels(axes: Axes, theme: Theme, experts: int) -> None:
    """The fair share, and what an expert has to have of it."""
    fair, limit = 1 / experts, LIMIT / experts
    for level, name, style, side in ((fair, "fair\nshare", "-", "bottom"), (limit, "limit", (0, (3, 3)), "top")):
        axes.axhline(level, color=theme.ink, linewidth=1, linestyle=style, zorder=2.5)
        axes.annotate(  # outside, where no line passes through it; the two never meet
            name,
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, -4 if side == "bottom" else 4),
            textcoords="offset points",
            va=side,
            color=theme.ink,
            fontsize=11,
            linespacing=1.0,
        )
