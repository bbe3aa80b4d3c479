"""The DAG as an SVG for light and dark pages, inline or as a file."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from html import escape

Edge = tuple[str, str]

_BOX_HEIGHT, _ROW_GAP, _COLUMN_GAP, _MARGIN = 44, 16, 34, 2
_THREAD = 12  # height of a row in which an edge only passes through a column
_LETTER = 7.8  # width of a letter at 13 px: a little more than in most fonts

# Boxes are opaque and lines grey, so that the picture is legible on white and on black, whatever the page's colours.
# Class names start with "dag", since inline these rules apply to the whole page.
_STYLE = """
.dag { color: #1d2329; font-size: 13px;
  font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif }
.dag-box { fill: #f3f4f2; stroke: #8a9299; stroke-width: 1 }
.dag-name { fill: currentColor; font-weight: 600; text-anchor: middle }
.dag-key { font-weight: 400; font-size: 11.5px }
.dag-edge { fill: none; stroke: #8a9299; stroke-width: 1.5 }
.dag-head { fill: #8a9299 }
@media (prefers-color-scheme: dark) { .dag { color: #e8eaec } .dag-box { fill: #22272c } }
@media print { .dag { color: #1d2329 } .dag-box { fill: #fff } }
"""


def reduced(edges: Iterable[Edge]) -> list[Edge]:
    """The edges that no longer path makes redundant (transitive reduction), sorted."""
    pairs = set(edges)
    after: dict[str, set[str]] = {}
    for source, target in pairs:
        after.setdefault(source, set()).add(target)
    reach: dict[str, set[str]] = {}
    for node in TopologicalSorter(after).static_order():  # successors given as predecessors: reverse order
        reach[node] = set().union(*(reach[target] | {target} for target in after.get(node, ())))
    return sorted((a, b) for a, b in pairs if not any(b in reach[other] for other in after[a]))


def draw_dag(nodes: Sequence[str], edges: Iterable[Edge]) -> str:
    """SVG of the graph from left to right, each node one column after the last of its predecessors.

    nodes: labels, `stage` or `stage@key` (the key stands on a second line); edges: (from, to), redundant ones are left
    out. The same input in the same order gives the same bytes. ValueError: an edge of an unknown node, or a cycle.
    """
    edges = set(edges)
    unknown = {node for edge in edges for node in edge} - set(nodes)
    if unknown:
        raise ValueError(f"edges name unknown nodes: {', '.join(sorted(unknown))}")
    try:
        edges = reduced(edges)
        column = _columns(nodes, edges)
    except CycleError as error:
        raise ValueError(f"not a DAG: {' -> '.join(error.args[1])}") from error

    # An edge over several columns passes through a thread in each of them, so that it goes around the boxes.
    chains = [_chain(edge, column) for edge in edges]
    columns: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for node in nodes:
        columns[column[node]].append(node)
    for chain in chains:
        for thread in chain[1:-1]:
            columns[column[thread]].append(thread)
    _untangle(columns, [pair for chain in chains for pair in itertools.pairwise(chain)])

    width: dict[str, float] = {}
    for layer in columns:
        widest = max(_label_width(node) for node in layer if "\0" not in node)
        width |= {node: 0.0 if "\0" in node else widest for node in layer}
    x, y, right = _positions(columns, width)
    height = max((y[node] + _BOX_HEIGHT / 2 for node in nodes), default=0) + _MARGIN
    parts = [_edge_path(chain, x, y, width) for chain in chains]
    parts += [_box(node, x[node], y[node], width[node]) for node in nodes]
    described = escape("; ".join(f"{a} → {b}" for a, b in edges))
    size = f'width="{right:g}" height="{height:g}" viewBox="0 0 {right:g} {height:g}"'
    head = '<path class="dag-head" d="M0 0L8 4L0 8z"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dag" {size} role="img">\n'
        f"<title>The DAG: {len(nodes)} stages</title>\n<desc>{described}</desc>\n<style>{_STYLE}</style>\n"
        f'<defs><marker id="dag-head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto" '
        f'markerUnits="userSpaceOnUse">{head}</marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _columns(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Column by node: the length of the longest path to it."""
    before: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        before[target].append(source)
    column: dict[str, int] = {}
    for node in TopologicalSorter(before).static_order():
        column[node] = max((column[source] + 1 for source in before[node]), default=0)
    return column


def _chain(edge: Edge, column: dict[str, int]) -> list[str]:
    """The edge's ends with a thread (named with NULs) for each column between them, entered into `column`."""
    source, target = edge
    threads = []
    for between in range(column[source] + 1, column[target]):
        thread = f"{source}\0{target}\0{between}"
        column[thread] = between
        threads.append(thread)
    return [source, *threads, target]


def _untangle(columns: list[list[str]], links: Iterable[Edge]) -> None:
    """Order each column by the mean place of its neighbours in the one just ordered (Sugiyama et al. 1981)."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    for sweep in range(9):  # odd, so that the last one goes from left to right
        neighbours = after if sweep % 2 else before
        for layer in reversed(columns) if sweep % 2 else columns:
            place = {node: (rank + 0.5) / len(nodes) for nodes in columns for rank, node in enumerate(nodes)}
            key = {node: _mean([place[other] for other in neighbours.get(node, [node])]) for node in layer}
            layer.sort(key=key.__getitem__)


def _positions(
    columns: Sequence[Sequence[str]], width: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float], float]:
    """Centre of every box and thread, and where the last column ends; columns are centred on one line."""
    heights = {node: _BOX_HEIGHT if width[node] else _THREAD for layer in columns for node in layer}
    tallest = max((sum(heights[n] for n in layer) + _ROW_GAP * (len(layer) - 1) for layer in columns), default=0)
    x: dict[str, float] = {}
    y: dict[str, float] = {}
    left = float(_MARGIN)
    for layer in columns:
        widest = max(width[node] for node in layer)
        top = _MARGIN + (tallest - sum(heights[n] for n in layer) - _ROW_GAP * (len(layer) - 1)) / 2
        for node in layer:
            x[node], y[node] = left + widest / 2, top + heights[node] / 2
            top += heights[node] + _ROW_GAP
        left += widest + _COLUMN_GAP
    return x, y, left - _COLUMN_GAP + _MARGIN if columns else _MARGIN


def _edge_path(chain: Sequence[str], x: Mapping[str, float], y: Mapping[str, float], width: Mapping[str, float]) -> str:
    """Smooth line from the right side of the first box, through its threads, to the left side of the last."""
    start = (x[chain[0]] + width[chain[0]] / 2, y[chain[0]])
    end = (x[chain[-1]] - width[chain[-1]] / 2, y[chain[-1]])
    points = [start, *((x[thread], y[thread]) for thread in chain[1:-1]), end]
    path = f"M{start[0]:g} {start[1]:g}"
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        bend = (x1 + x2) / 2
        path += f"C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"
    return f'<path class="dag-edge" d="{path}" marker-end="url(#dag-head)"/>'


def _box(node: str, x: float, y: float, width: float) -> str:
    stage, at, key = node.partition("@")
    lines = f'<tspan x="{x:g}" y="{y - 2 if at else y + 4.5:g}">{escape(stage)}</tspan>'
    if at:
        lines += f'<tspan class="dag-key" x="{x:g}" y="{y + 14:g}">@{escape(key)}</tspan>'
    rect = f'x="{x - width / 2:g}" y="{y - _BOX_HEIGHT / 2:g}" width="{width:g}" height="{_BOX_HEIGHT}" rx="8"'
    return f'<g><rect class="dag-box" {rect}/><text class="dag-name">{lines}</text></g>'


def _label_width(node: str) -> float:
    stage, _, key = node.partition("@")
    return round(max(len(stage), 0.9 * (len(key) + 1)) * _LETTER + 24, 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
