"""Type and rendering shared by all figures: every figure has a light and a dark version."""

import io
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

# Re-exported, so that plots import everything from here.
from pipeline.plots.colours import DARK as DARK
from pipeline.plots.colours import LIGHT as LIGHT
from pipeline.plots.colours import Theme as Theme
from pipeline.plots.compact import compacted, data_uri, recoloured

# System fonts by name: `system-ui` is a poor choice on many Linux machines.
FONT_STACK = "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"

# Panel width in CSS pixels. A phone shows a panel at nearly this size and a wide page shows two side by side, so text
# is readable on both.
PANEL_WIDTH = 400
PANEL_HEIGHT = 300


# Colour scales, from low to high. They have few steps, each with a counterpart in the other scheme.
SCALES = {"amount": ("rule", "truth", "ink"), "share": ("surface", "truth")}
STEPS = 33


def scale_of(theme: Theme, name: str) -> ListedColormap:
    """A colour scale in one scheme."""
    return ListedColormap(_steps(theme, name))


def _steps(theme: Theme, name: str) -> list[str]:
    ends = [getattr(theme, colour) for colour in SCALES[name]]
    whole = LinearSegmentedColormap.from_list(name, ends, N=STEPS)
    return [to_hex(whole(step)) for step in range(STEPS)]


@dataclass(frozen=True)
class Picture:
    """One figure as SVG bytes for both colour schemes, with its alternative text."""

    light: bytes
    dark: bytes
    alt: str
    width: int  # CSS pixels
    height: int

    @property
    def light_uri(self) -> str:
        return data_uri(self.light.decode("utf-8"))

    @property
    def dark_uri(self) -> str:
        return data_uri(self.dark.decode("utf-8"))


def picture(
    draw: Callable[[Axes, Theme], None], alt: str, width: int = PANEL_WIDTH, height: int = PANEL_HEIGHT
) -> Picture:
    """Draw one panel for both schemes.

    `draw(axes, theme)` may differ between themes only in colours: it is called for the light one, which is then
    recoloured; for the dark one it is called only if something was rasterised. `width` and `height` are in CSS pixels,
    and so are all font sizes and line widths (a point is drawn as a pixel).
    """
    light = render(draw, LIGHT, width, height)
    dark = render(draw, DARK, width, height) if "<image" in light else recoloured(light, _IN_THE_DARK)
    return Picture(light.encode("utf-8"), dark.encode("utf-8"), alt, width, height)


def halo(text: Text) -> Text:
    """Give a label an outline in the page's colour, to be legible on points and lines."""
    text.set_gid("halo")
    return text


def legend_above(axes: Axes, columns: int = 4) -> None:
    """A legend in rows between title and axes, where it hides nothing."""
    entries = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.98),
        ncols=min(columns, entries),
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=1.2,
        borderaxespad=0,
    )
    axes.set_title(axes.get_title("left"), pad=10 + 19 * -(-entries // columns))


def shortened(name: str, length: int = 22) -> str:
    """A name shortened to fit a figure, without characters that XML forbids; tables show it in full."""
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return printable if len(printable) <= length else printable[: length - 1] + "…"


def render(draw: Callable[[Axes, Theme], None], theme: Theme, width: int, height: int) -> str:
    """One panel for one scheme."""
    with mpl.rc_context(settings(theme)):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        draw(figure.add_subplot(), theme)
        # savefig would compute the layout twice more, which takes longer than drawing.
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        figure.set_layout_engine("none")
        stream = io.BytesIO()
        # dpi is that of the rasterised parts (dense scatters): 2 dots per CSS pixel.
        figure.savefig(stream, format="svg", dpi=144, transparent=True, metadata={"Date": None, "Creator": None})
    return compacted(_finished(stream.getvalue().decode("utf-8"), theme), FONT_STACK)


def settings(theme: Theme) -> Any:
    """Matplotlib's, of every figure in one scheme."""
    return {
        "figure.constrained_layout.w_pad": 0.03,
        "figure.constrained_layout.h_pad": 0.03,
        "svg.fonttype": "none",  # text stays text: the reader's own font, selectable, small
        "svg.hashsalt": "celldag",  # identifiers that do not change from run to run
        "text.parse_math": False,  # a "$" in a name is a "$"
        "font.family": ["DejaVu Sans"],  # ships with matplotlib, so the layout is the same on every machine
        "font.size": 12,
        "axes.titlesize": 12.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.titlecolor": theme.ink,
        "axes.labelsize": 12,
        "axes.labelcolor": theme.muted,
        "axes.edgecolor": theme.rule,
        "axes.linewidth": 1,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": theme.rule,
        "grid.linewidth": 0.8,
        "xtick.color": theme.rule,
        "ytick.color": theme.rule,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "xtick.labelsize": 11.5,
        "ytick.labelsize": 11.5,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "text.color": theme.ink,
        "lines.linewidth": 2,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 11.5,
    }


def _finished(svg: str, theme: Theme) -> str:
    """The SVG in CSS pixels and with halos, which matplotlib itself would draw as outlines."""
    svg = svg[svg.index("<svg") :].replace('pt"', '"', 2)  # one drawn point is one CSS pixel
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    rule = f'g[id="halo"] text {{ paint-order: stroke; stroke: {theme.surface}; stroke-width: 3px }}'
    return svg.replace("<defs>", f'<style type="text/css">{rule}</style>\n <defs>', 1)


def _exchanged() -> dict[str, str]:
    """Every colour of the light scheme and its scales, with its counterpart in the dark scheme."""
    pairs = [pair for scale in SCALES for pair in zip(_steps(LIGHT, scale), _steps(DARK, scale), strict=True)]
    light, dark = asdict(LIGHT), asdict(DARK)
    for name in light:
        many = isinstance(light[name], tuple)
        pairs += zip(light[name], dark[name], strict=True) if many else [(light[name], dark[name])]
    return dict(pairs)


_IN_THE_DARK = _exchanged()
