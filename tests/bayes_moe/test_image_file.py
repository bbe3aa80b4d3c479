import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.bayes_moe.data.image_file import ImageReader
from pipeline.core.errors import ExpectedError

SIZE = 4
ORIENTATION = 274


def files(white_level=None):
    return ImageReader(SIZE, white_level, "bayes_moe.ingest.white_level")


def grey(path, values, **how):
    """An image of SIZE x SIZE pixels that repeats these values, so that nothing is resized."""
    values = np.asarray(values)
    Image.fromarray(np.resize(values, (SIZE, SIZE))).save(path, **how)
    return path


def row(read, path):
    """The first pixels of the first row, which are grey: bytes in three channels, or 16 bits in one."""
    image_HWC = read.read(path)
    assert (image_HWC.shape, image_HWC.dtype) in (((SIZE, SIZE, 3), np.uint8), ((SIZE, SIZE, 1), np.uint16))
    assert (image_HWC == image_HWC[..., :1]).all()
    return image_HWC[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("name", "values", "expected", "note"),
    [
        ("g.png", np.uint16([0, 1, 32897, 65535]), [0, 1, 32897, 65535], "1 image of 16-bit grey: 65535 is white"),
        ("g.tif", np.uint16([0, 258, 32896, 65535]), [0, 258, 32896, 65535], "1 image of 16-bit grey: 65535 is white"),
        ("f.tif", np.float32([0, 0.2, 0.5, 1]), [0, 13107, 32768, 65535], "1 image of floats: 1 is white"),
        (
            "i.tif",
            np.int32([0, 2**30, 2**31 - 1, 2**29]),
            [0, 32768, 65535, 16384],
            "32-bit signed grey: 2147483647 is white",
        ),
        ("b.png", np.uint8([0, 1, 128, 255]), [0, 1, 128, 255], None),
    ],
)
def test_values_are_shares_of_the_largest_of_their_type(tmp_path, name, values, expected, note):
    read = files()
    assert row(read, grey(tmp_path / name, values)) == expected
    notes = read.notes(tmp_path)
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_a_tiff_whose_zero_is_white_is_not_a_negative(tmp_path):
    path = grey(tmp_path / "w.tif", np.uint16([0, 65535, 257, 65278]), tiffinfo={262: 0})
    assert row(files(), path) == [65535, 0, 65278, 257]


def test_a_colour_of_16_bits_is_read_by_its_upper_8(tmp_path):
    values = np.arange(SIZE * SIZE * 3, dtype=np.uint16).reshape(SIZE, SIZE, 3) * 1000
    read = files()
    np.testing.assert_array_equal(read.read(colour_16(tmp_path / "c.png", values)), values >> 8)
    read.notes(tmp_path)
    dark = files()
    dark.read(colour_16(tmp_path / "d.png", values // 16))
    with pytest.raises(ExpectedError, match=r"of 1 image of 16-bit colours in .* is 2827, and white would be 65535"):
        dark.notes(tmp_path)
    with pytest.raises(ExpectedError, match=r"white of 65535 only, not .*white_level = 4095: convert them to 8 bits"):
        files(4095).read(tmp_path / "c.png")


def colour_16(path, values):
    """A PNG of 16-bit colours, which Pillow cannot write."""
    rows = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return png(path, struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0), rows)


def png(path, head, rows):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_12_bits_stored_in_16_need_their_white_stated(tmp_path):
    path = grey(tmp_path / "t.tif", np.uint16([0, 2048, 3000, 4095]))
    read = files()
    read.read(path)
    with pytest.raises(ExpectedError) as caught:
        read.notes(tmp_path)
    assert "the brightest value of 1 image of 16-bit grey" in str(caught.value)
    assert "is 4095, and white would be 65535" in str(caught.value)
    assert "Set bayes_moe.ingest.white_level to the value of white, such as 4095, or to 65535" in str(caught.value)
    stated = files(4095)
    assert row(stated, path) == [0, 32776, 48011, 65535]
    assert stated.notes(tmp_path) == ["1 image of 16-bit grey: 4095 is white, 0 black"]
    as_they_are = files(65535)
    assert row(as_they_are, path) == [0, 2048, 3000, 4095]


def test_a_dark_image_among_bright_ones_is_taken(tmp_path):
    read = files()
    assert row(read, grey(tmp_path / "dark.png", np.uint16([257]))) == [257] * SIZE
    read.read(grey(tmp_path / "bright.png", np.uint16([60000])))
    assert read.notes(tmp_path) == ["2 images of 16-bit grey: 65535 is white, 0 black"]


@pytest.mark.parametrize(
    ("values", "white_level", "message"),
    [
        (np.float32([0, 255]), None, r"of floats, has values from 0 to 255, beyond black \(0\) or white \(1\)"),
        (np.float32([-0.5, 1]), None, r"from -0\.5 to 1"),
        (np.float32([np.nan, 1]), None, "from nan to nan"),
        (np.int32([-5, 2**31 - 1]), None, "32-bit signed grey, has values from -5"),
        (np.uint16([0, 5000]), 4095, r"from 0 to 5000, beyond black \(0\) or white \(4095\)"),
    ],
)
def test_values_beyond_black_or_white_are_refused_and_never_saturated(tmp_path, values, white_level, message):
    path = grey(tmp_path / "p.tif", values)
    with pytest.raises(ExpectedError, match=message) as caught:
        files(white_level).read(path)
    assert "set bayes_moe.ingest.white_level to the value of white" in str(caught.value)


def test_floats_of_a_stated_white(tmp_path):
    assert row(files(200), grey(tmp_path / "p.tif", np.float32([0, 50, 100, 200]))) == [0, 16384, 32768, 65535]


def test_bytes_need_no_white(tmp_path):
    assert row(files(4095), grey(tmp_path / "p.png", np.uint8([0, 7, 200, 255]))) == [0, 7, 200, 255]


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_transparency_is_blended_on_white(tmp_path, name):
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    pixels[:, 0] = (200, 10, 20, 0)  # a colour that nobody sees
    pixels[:, 1] = (0, 0, 0, 128)
    pixels[:, 2:] = (30, 60, 90, 255)
    Image.fromarray(pixels).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    read = files()
    image_HWC = read.read(tmp_path / name)
    assert image_HWC[0, 0].tolist() == [255, 255, 255]
    assert image_HWC[0, 1].tolist() == [127, 127, 127]
    assert image_HWC[0, 2].tolist() == [30, 60, 90]
    assert read.notes(tmp_path) == ["1 image with transparency: blended on white"]


def test_transparency_of_a_palette_and_of_one_grey_value(tmp_path):
    palette = Image.fromarray(np.resize(np.uint8([0, 1]), (SIZE, SIZE)), "P")
    palette.putpalette([200, 0, 0, 0, 90, 0])
    palette.save(tmp_path / "p.gif", transparency=0)
    grey(tmp_path / "g.png", np.uint8([40, 80, 120, 160]), transparency=80)
    grey(tmp_path / "w.png", np.uint16([257, 514, 65535, 0]), transparency=514)
    read = files()
    assert read.read(tmp_path / "p.gif")[0, :2].tolist() == [[255, 255, 255], [0, 90, 0]]
    assert row(read, tmp_path / "g.png") == [40, 255, 120, 160]
    assert row(read, tmp_path / "w.png") == [257, 65535, 65535, 0]
    assert "3 images with transparency: blended on white" in read.notes(tmp_path)


def test_hidden_colours_do_not_bleed_where_images_are_made_smaller(tmp_path):
    pixels = np.zeros((2 * SIZE, 2 * SIZE, 4), np.uint8)
    pixels[:, ::2] = (255, 0, 0, 0)
    pixels[:, 1::2] = (0, 0, 100, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert files().read(tmp_path / "a.png")[1, 1].tolist() == [127, 127, 177]  # half white, half (0, 0, 100)


def test_opaque_alpha_is_no_transparency(tmp_path):
    Image.new("RGBA", (SIZE, SIZE), (1, 2, 3, 255)).save(tmp_path / "a.png")
    read = files()
    assert (read.read(tmp_path / "a.png") == (1, 2, 3)).all()
    assert read.notes(tmp_path) == []


@pytest.mark.parametrize("name", ["e.jpg", "e.png", "e.tif", "e.webp"])
@pytest.mark.parametrize(
    ("orientation", "turned"),  # how the stored pixels are brought upright
    [
        (1, lambda p: p),
        (2, np.fliplr),
        (3, lambda p: np.rot90(p, 2)),
        (4, np.flipud),
        (5, lambda p: np.swapaxes(p, 0, 1)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: np.rot90(np.swapaxes(p, 0, 1), 2)),
        (8, np.rot90),
    ],
)
def test_images_are_upright(tmp_path, name, orientation, turned):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16], pixels[:16, 16:], pixels[16:, :16] = 240, 160, 80
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    how = {"quality": 100, "subsampling": 0} if name.endswith("jpg") else {}
    Image.fromarray(pixels).save(tmp_path / name, exif=exif, **how)
    expected = turned(np.kron(np.uint8([[240, 160], [80, 0]]), np.ones((2, 2), np.uint8)))
    found = files().read(tmp_path / name)[..., 0]
    np.testing.assert_allclose(found, expected, atol=6)  # of the JPEG, and of the WebP


def test_deep_greys_are_upright_too(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    path = grey(tmp_path / "g.png", np.uint16([0, 257, 514, 65535]), exif=exif)
    assert row(files(), path) == [65535, 514, 257, 0]


def test_palettes_inks_and_bits(tmp_path):
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    Image.new("1", (SIZE, SIZE), 1).save(tmp_path / "b.png")
    Image.new("RGB", (SIZE, SIZE), (10, 20, 30)).quantize(2).save(tmp_path / "p.png")
    assert files().read(tmp_path / "c.tif")[0, 0].tolist() == [255, 0, 0]
    assert files().read(tmp_path / "b.png")[0, 0].tolist() == [255, 255, 255]
    assert files().read(tmp_path / "p.png")[0, 0].tolist() == [10, 20, 30]
    Image.new("LAB", (SIZE, SIZE)).save(tmp_path / "l.tif")
    with pytest.raises(ExpectedError, match="is in CIELAB colours, which are not read: convert it to RGB"):
        files().read(tmp_path / "l.tif")


@pytest.mark.parametrize("name", ["m.gif", "m.tif", "m.png", "m.webp"])
def test_the_first_of_several_frames_is_taken_and_noted(tmp_path, name):
    first, second = (Image.new("RGB", (SIZE, SIZE), (value,) * 3) for value in (250, 20))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    read = files()
    assert abs(int(read.read(tmp_path / name).mean()) - 250) <= 2
    assert read.notes(tmp_path) == ["1 image of several frames: the first is taken"]


def test_a_image_as_large_as_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    png(tmp_path / "b.png", struct.pack(">IIBBBBB", 13000, 13000, 8, 2, 0, 0, 0), b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ExpectedError, match="has more than 89,478,485 pixels, which could exhaust the memory"):
            files().read(tmp_path / "b.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as Pillow calls the cut tags of the TIFF
@pytest.mark.parametrize("name", ["t.jpg", "t.png", "t.gif", "t.bmp", "t.webp", "t.tif", "t.ppm"])
def test_a_truncated_image_is_named(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for length in (0, 3, 30, len(whole) // 2, len(whole) - 60):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(ExpectedError, match=f"{name} is no readable image .*; convert, repair or remove it"):
            files().read(tmp_path / name)


def test_flipped_bits_end_in_one_message_or_in_a_image(tmp_path):
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
    for name in ("f.png", "f.jpg", "f.gif", "f.bmp", "f.ppm", "f.webp"):
        noise.save(tmp_path / name)
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        refused = 0
        for _ in range(40):
            damaged = whole.copy()
            damaged[random.integers(0, min(len(whole), 64), 3)] ^= np.uint8(1 << random.integers(0, 8))
            (tmp_path / name).write_bytes(damaged.tobytes())
            try:
                assert files().read(tmp_path / name).shape == (SIZE, SIZE, 3)
            except ExpectedError:
                refused += 1
        assert refused > 0


def test_other_formats_are_not_tried_whatever_the_suffix(tmp_path):
    (tmp_path / "p.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(ExpectedError, match="is no readable image"):
        files().read(tmp_path / "p.png")
