"""Compact SVG from matplotlib's: without invisible parts, recoloured for another scheme, and as a data URI."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from urllib.parse import quote

_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_PLACES = frozenset({"d", "x", "y", "width", "height", "transform"})  # attributes that hold coordinates
_KEPT = ("halo", "legend")  # groups referred to by name
_LONG = re.compile(r"-?\d+\.\d{3,}")
_TAG = re.compile(r"<[^>]*>")
_COLOUR = re.compile(r"(?<=[:\s])#[0-9a-f]{6}\b")


def compacted(svg: str, font: str) -> str:
    """The same picture in fewer bytes: coordinates rounded to a hundredth of a pixel, a single font declaration, and no
    unused names, groups or invisible shapes."""
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(svg)  # noqa: S314 - drawn a moment ago, by matplotlib
    links = [element.attrib[_LINK][1:] for element in root.iter() if element.attrib.get(_LINK, "").startswith("#")]
    clips = [clip[5:-1] for element in root.iter() if (clip := element.attrib.get("clip-path"))]
    # matplotlib's ids depend on the colours; numbers are the same in every scheme, and shorter.
    _reduce(root, {name: f"i{number}" for number, name in enumerate(dict.fromkeys([*links, *clips]))})
    style = root.find(f"{{{_SVG}}}style")
    assert style is not None  # theme.py's, with the halos
    style.text = f"{style.text} text {{ font-family: {font} }}"
    return ET.tostring(root, encoding="unicode")


def recoloured(svg: str, colours: Mapping[str, str]) -> str:
    """The picture with other colours (written #rrggbb, in lower case): those of its tags and of its style."""

    def other(found: re.Match[str]) -> str:
        return _COLOUR.sub(lambda colour: colours.get(colour.group(), colour.group()), found.group())

    return re.sub(r"<style[^>]*>[^<]*|<[^>]*>", other, svg)


def data_uri(svg: str) -> str:
    """As a `data:` URI that can stand in a srcset: no spaces, which end its URL."""
    # Not base64: what is rasterised is base64 already, and twice is a third more. Single quotes need no escape.
    tight = _TAG.sub(lambda tag: _tightened(tag.group()), svg)
    return "data:image/svg+xml," + quote(tight.replace("\n", " "), safe="/:;,=+()!*@?'")


def _reduce(parent: ET.Element, names: Mapping[str, str]) -> None:
    """Shorten the children of an element, and unwrap groups without attributes."""
    children: list[ET.Element] = []
    for child in list(parent):
        _reduce(child, names)
        _shorten(child, names)
        kind = child.tag.rpartition("}")[2]
        if kind == "g" and not child.attrib:
            children.extend(child)
        elif not (kind in ("g", "defs") and not len(child)) and not _invisible(child):
            children.append(child)
        child.tail = None
    parent[:] = children
    if parent.text and not parent.text.strip() and parent.tag != f"{{{_SVG}}}text":
        parent.text = None


def _shorten(element: ET.Element, names: Mapping[str, str]) -> None:
    attributes = element.attrib
    if name := names.get(attributes.get("id", "")):
        attributes["id"] = name
    elif not attributes.get("id", "").startswith(_KEPT):
        attributes.pop("id", None)
    if attributes.get(_LINK, "").startswith("#"):
        attributes[_LINK] = f"#{names[attributes[_LINK][1:]]}"
    if "clip-path" in attributes:
        attributes["clip-path"] = f"url(#{names[attributes['clip-path'][5:-1]]})"
    for key in _PLACES & set(attributes):
        attributes[key] = _LONG.sub(_rounded, attributes[key])
    if "d" in attributes:
        path = re.sub(r"\s*([MLCQz])\s*", r"\1", attributes["d"]).strip()
        path = re.sub(r"M([^MLCQz]+)L\1(?=M|$)", r"M\1h0", path)  # a dot
        attributes["d"] = re.sub(r"\s+", ",", path)  # a space takes three bytes in a URI
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if element.tag == f"{{{_SVG}}}text" and "style" in attributes:
        attributes["style"] = re.sub(r"font-family: [^;]*(; |$)", "", attributes["style"])


def _rounded(number: re.Match[str]) -> str:
    text = f"{float(number.group()):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _invisible(element: ET.Element) -> bool:
    """A path with neither fill nor stroke."""
    return (
        element.tag == f"{{{_SVG}}}path" and element.attrib.get("style") == "fill: none" and "id" not in element.attrib
    )


def _tightened(tag: str) -> str:
    """A tag with single quotes, and without the spaces that its style does not need."""
    tag = re.sub(r'style="[^"]*"', lambda style: re.sub(r"([:;]) ", r"\1", style.group()), tag)
    return tag if "'" in tag else tag.replace('"', "'")
