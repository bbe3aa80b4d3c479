"""The picture of the DAG."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipeline.commands.dag_picture import draw_dag, reduced

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, right, bottom of each box by its label."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect").attrib
        x, y, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
        found["".join(group.itertext())] = (x, y, x + width, y + height)
    return found


def test_an_edge_that_a_longer_path_implies_is_left_out():
    assert reduced([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")]) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert reduced([("a", "c"), ("b", "c")]) == [("a", "c"), ("b", "c")]


def test_every_stage_stands_right_of_what_it_reads_and_none_on_another():
    nodes = ["ingest@a", "ingest@b", "train@a", "train@b", "judge", "report"]
    edges = [
        ("ingest@a", "train@a"),
        ("ingest@b", "train@b"),
        ("train@a", "judge"),
        ("judge", "report"),
        ("train@b", "report"),
    ]
    found = boxes(draw_dag(nodes, edges))
    assert sorted(found) == sorted(nodes)
    for source, target in edges:
        assert found[source][2] < found[target][0]
    corners = list(found.values())
    for index, one in enumerate(corners):
        for other in corners[index + 1 :]:
            apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
            assert apart, (one, other)


def test_boxes_lie_inside_the_picture():
    svg = draw_dag(["one", "a_rather_long_stage_name@with_a_key"], [])
    width, height = (float(ET.fromstring(svg).attrib[name]) for name in ("width", "height"))
    for left, top, right, bottom in boxes(svg).values():
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height


def test_an_edge_over_several_columns_goes_around_the_boxes_between():
    """a -> b -> c -> e and a -> d -> e: the edge d -> e passes the column of c, beside it."""
    nodes = ["a", "b", "c", "d", "e"]
    svg = draw_dag(nodes, [("a", "b"), ("b", "c"), ("c", "e"), ("a", "d"), ("d", "e")])
    left, top, right, bottom = boxes(svg)["c"]
    long_path = max(re.findall(r'class="dag-edge" d="([^"]+)"', svg), key=len)
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", long_path)]
    assert any(left <= x <= right for x, _ in points)
    assert not any(left <= x <= right and top <= y <= bottom for x, y in points)


def test_the_same_graph_gives_the_same_bytes():
    edges = {(f"n{i}", f"n{j}") for i in range(6) for j in range(i + 1, 6)}
    nodes = [f"n{i}" for i in range(6)]
    assert draw_dag(nodes, edges) == draw_dag(nodes, sorted(edges, reverse=True))


def test_labels_are_escaped():
    assert "<b>&" in boxes(draw_dag(["<b>&"], []))


def test_what_is_no_dag_is_refused():
    with pytest.raises(ValueError, match="unknown nodes: c"):
        draw_dag(["a", "b"], [("a", "c")])
    with pytest.raises(ValueError, match="not a DAG"):
        draw_dag(["a", "b"], [("a", "b"), ("b", "a")])
    with pytest.raises(ValueError, match="not a DAG"):
        draw_dag(["a"], [("a", "a")])


def test_the_picture_in_docs_is_that_of_dvc_yaml():
    from workflow.dag import read_stages, without_gates

    stages = without_gates(read_stages())
    shown = set(boxes(Path("docs/dag.svg").read_text(encoding="utf-8")))
    assert shown == {stage.address for stage in stages if stage.command}, "run: python -m pipeline dag --write"
    description = ET.parse("docs/dag.svg").getroot().findtext(f"{SVG}desc")
    edges = [(before, stage.address) for stage in stages for before in stage.upstream]
    assert description == "; ".join(f"{a} → {b}" for a, b in reduced(edges)), "run: python -m pipeline dag --write"
