"""One image file: bytes of red, green and blue, or 16 bits of grey; upright, square, on white, never saturated.

An image is read as any viewer shows it: rotated by its EXIF tag, transparency is blended on white. Grey values of more
than 8 bits, and floats, become shares of what is white, in 16 bits.
"""

import struct
import warnings
import zlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from pipeline.bayes_moe.data.images import Values
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # no other decoder of Pillow is ever tried
Image.init()
SUFFIXES = tuple(sorted(suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS))
GROUND = (255, 255, 255)  # what shows through transparency
DEEP_WHITE = 65535  # of what is kept of more than 8 bits
DARKEST = 1 / 4  # of white: a folder whose brightest value is below was most likely made with another white

_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF
_UNREADABLE = (
    OSError,
    SyntaxError,  # what Pillow raises where a format's own rules are broken
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
)


class _Depth(NamedTuple):
    """A kind of grey values beyond bytes."""

    name: str
    white: float


class _Decoded(NamedTuple):
    image: ImageFile.ImageFile  # loaded and upright
    deep_colours: bool  # 16 bits of red, green and blue, of which Pillow gives the upper 8
    several_frames: bool


class ImageReader:
    """Reads images as squares of `size` x `size` pixels, and collects notes about all of them.

    white_level: the value that is white in grey images of more than 8 bits or of floats; None: the largest of their
    type, and 1 for floats. parameter: its name, for messages.
    """

    def __init__(self, size: int, white_level: float | None, parameter: str) -> None:
        self.size, self.white_level, self.parameter = size, white_level, parameter
        self._brightest: dict[_Depth, list[float]] = defaultdict(list)  # the largest value of each image
        self._blended = self._first_frames = 0

    def read(self, path: Path) -> Values:
        """(size, size, 3) bytes; of a grey image of more than 8 bits (size, size, 1) in 16. Of an image that is not
        square the middle is taken, of several frames the first.

        ExpectedError where the file is no image, damaged, far larger than any camera's, or where its values
        are not between black and white.
        """
        decoded = _decoded(path)
        self._first_frames += decoded.several_frames
        return self._square(decoded, path)

    def notes(self, folder: Path) -> list[str]:
        """How the images read so far, all of one folder, were converted where the result does not show it.

        ExpectedError where all are so dark that their white must be another, as of 12 bits stored in 16.
        """
        notes = []
        for depth, values in self._brightest.items():
            brightest = max(values)
            if self.white_level is None and brightest < DARKEST * depth.white:
                raise ExpectedError(
                    f"the brightest value of {counted(len(values), 'image')} of {depth.name} in {folder} is "
                    f"{_number(brightest)}, and white would be {_number(depth.white)}: they would be nearly black. Set "
                    f"{self.parameter} to the value of white, such as {_number(_likely_white(brightest))}, or to "
                    f"{_number(depth.white)} to take them as they are"
                )
            white = self.white_level or depth.white
            notes.append(f"{counted(len(values), 'image')} of {depth.name}: {_number(white)} is white, 0 black")
        if self._blended:
            notes.append(f"{counted(self._blended, 'image')} with transparency: blended on white")
        if self._first_frames:
            notes.append(f"{counted(self._first_frames, 'image')} of several frames: the first is taken")
        return notes

    def _square(self, decoded: _Decoded, path: Path) -> Values:
        image = decoded.image
        side = min(image.size)
        left, top = ((whole - side) // 2 for whole in image.size)
        box = (left, top, left + side, top + side)
        how = Image.Resampling.BOX if side > self.size else Image.Resampling.BILINEAR
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            resized = self._share_of_white(image, path).crop(box).resize((self.size, self.size), how)
            return np.rint(np.asarray(resized, np.float64) * DEEP_WHITE).astype(np.uint16)[..., None]
        if decoded.deep_colours:
            self._check_deep_colours(image, path)
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB").crop(box).resize((self.size, self.size), how))
        resized = image.convert("RGBA").crop(box).resize((self.size, self.size), how)  # weighted by opacity
        self._blended += bool((np.asarray(resized)[..., 3] < 255).any())
        return np.asarray(Image.alpha_composite(Image.new("RGBA", resized.size, GROUND), resized).convert("RGB"))

    def _share_of_white(self, image: ImageFile.ImageFile, path: Path) -> Image.Image:
        """Grey values of any depth as shares of white."""
        depth = _depth(image)
        value_HW = np.asarray(image)
        low, high = float(value_HW.min()), float(value_HW.max())
        white = self.white_level or depth.white
        if not (low >= 0 and high <= white):  # so written that NaN is refused too
            raise ExpectedError(
                f"{path}, of {depth.name}, has values from {_number(low)} to {_number(high)}, beyond black (0) or "
                f"white ({_number(white)}): set {self.parameter} to the value of white, or convert the image"
            )
        self._brightest[depth].append(high)
        share_HW = value_HW.astype(np.float32)
        share_HW /= white
        if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0:  # heeded by Pillow in bytes only
            np.subtract(1, share_HW, out=share_HW)
        if "transparency" in image.info:  # the one value that PNG calls transparent
            share_HW[value_HW == image.info["transparency"]] = 1
            self._blended += 1
        return Image.fromarray(share_HW)

    def _check_deep_colours(self, image: Image.Image, path: Path) -> None:
        depth = _Depth("16-bit colours", 65535.0)
        if self.white_level not in (None, depth.white):
            raise ExpectedError(
                f"{path} has {depth.name}, which are read for a white of {_number(depth.white)} only, not "
                f"{self.parameter} = {_number(self.white_level)}: convert them to 8 bits"
            )
        bands = cast(tuple[tuple[int, int], ...], image.getextrema())[:3]
        self._brightest[depth].append(257.0 * max(high for _, high in bands))


def _decoded(path: Path) -> _Decoded:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                deep = image.mode.startswith("RGB") and any(";16" in str(tile[3]) for tile in image.tile)
                several = getattr(image, "is_animated", False) and image.format != "MPO"  # there: previews
                ImageOps.exif_transpose(image, in_place=True)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ExpectedError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which could exhaust the memory: scale it down"
        ) from error
    except _UNREADABLE as error:
        raise ExpectedError(
            f"{path} is no readable image ({', '.join(FORMATS)}): {error}; convert, repair or remove it"
        ) from error
    if image.mode == "LAB":
        raise ExpectedError(f"{path} is in CIELAB colours, which are not read: convert it to RGB")
    return _Decoded(image, deep, several)


def _depth(image: ImageFile.ImageFile) -> _Depth:
    if image.mode == "F":
        return _Depth("floats", 1.0)
    if not isinstance(image, TiffImageFile):
        return _Depth("16-bit grey", 65535.0)
    tags = image.tag_v2
    bits, signed = tags[_BITS][0], tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    return _Depth(f"{bits}-bit {'signed ' if signed else ''}grey", float(2 ** (bits - signed) - 1))


def _likely_white(brightest: float) -> float:
    """The largest value of as many bits as this one needs."""
    return brightest if brightest < 1 else 2 ** int(brightest).bit_length() - 1


def _number(value: float) -> str:
    return f"{value:.10g}"
