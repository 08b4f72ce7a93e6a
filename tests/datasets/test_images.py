"""Photos of every kind, made here by Pillow and OpenCV, and broken ones."""

import io
import os
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from segattr.datasets.errors import InputError
from segattr.datasets.images import ImageError, list_images, load_rgb, read_size

QUARTERS = np.zeros((20, 30, 3), np.uint8)
QUARTERS[:10, :15], QUARTERS[:10, 15:], QUARTERS[10:, :15] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(picture, kind, **options) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=120, width=160):
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8), (0, 0), 2)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(QUARTERS, kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    rgb = load_rgb(data)
    np.testing.assert_array_equal(rgb, upright)
    assert rgb.flags.c_contiguous
    assert read_size(data) == rgb.shape[:2] == ((20, 30) if orientation < 5 else (30, 20))
    # Where the red quarter is stored at the top left, orientation n puts it here (Exif 2.3).
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert rgb[corner[orientation]][0] > 200
    assert rgb[corner[orientation]][1:].max() < 60


def test_the_fast_jpeg_path_equals_pillow():
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}):
        data = saved(noise(), "JPEG", **options)
        np.testing.assert_array_equal(load_rgb(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_sources(tmp_path):
    path = tmp_path / "a photo.png"
    path.write_bytes(saved(QUARTERS, "PNG"))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(load_rgb(source), QUARTERS)


def test_grey_one_bit_and_palette():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind in ("PNG", "BMP", "JPEG"):
        np.testing.assert_allclose(
            load_rgb(saved(grey, kind, quality=100))[..., 1], grey, atol=2 if kind == "JPEG" else 0
        )
    bits = load_rgb(saved(Image.fromarray(grey > 99), "PNG"))
    assert sorted(np.unique(bits)) == [0, 255]
    np.testing.assert_array_equal(bits[..., 0] > 0, grey > 99)
    palette = Image.fromarray(QUARTERS).quantize(4)
    np.testing.assert_array_equal(load_rgb(saved(palette, "PNG")), QUARTERS)
    np.testing.assert_array_equal(load_rgb(saved(palette, "GIF")), QUARTERS)


def test_cmyk():
    white_to_cyan = Image.merge("CMYK", [Image.linear_gradient("L"), *[Image.new("L", (256, 256), 0)] * 3])
    rgb = load_rgb(saved(white_to_cyan, "JPEG", quality=100))
    np.testing.assert_allclose(rgb[..., 0].mean(axis=1), 255 - np.arange(256), atol=3)
    assert rgb[..., 1:].min() > 250


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(ramp / 257).astype(np.uint8)
    for suffix in (".png", ".tiff"):
        rgb = load_rgb(cv2.imencode(suffix, ramp)[1].tobytes())
        for channel in range(3):
            np.testing.assert_array_equal(rgb[..., channel], expected)
        colour = load_rgb(cv2.imencode(".png", np.dstack([ramp] * 3))[1].tobytes())
        np.testing.assert_allclose(colour[..., 0].astype(int), expected, atol=1)


@pytest.mark.parametrize("scale", [1, 255, 1e6])
def test_float_tiff(scale):
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    rgb = load_rgb(cv2.imencode(".tiff", ramp * np.float32(scale))[1].tobytes())
    np.testing.assert_allclose(rgb[..., 0].astype(int), np.arange(256).reshape(16, 16), atol=1)


def test_alpha_is_composited_on_white():
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[0, :, 3] = (0, 51, 255)
    rgb = load_rgb(saved(rgba, "PNG"))
    np.testing.assert_array_equal(rgb[1], [[255] * 3] * 3)
    np.testing.assert_array_equal(rgb[0], [[255, 255, 255], [244, 204, 204], [200, 0, 0]])
    grey = Image.merge("LA", [Image.new("L", (2, 2), 10), Image.new("L", (2, 2), 0)])
    assert (load_rgb(saved(grey, "PNG")) == 255).all()
    keyed = saved(Image.fromarray(QUARTERS).quantize(4), "PNG", transparency=0)
    assert (load_rgb(keyed) == 255).all(axis=2).sum() == 150


def test_only_the_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_rgb(data)[0, 0].tolist() == [255, 0, 0]


def bomb() -> bytes:
    """A PNG whose header promises 30,000 x 30,000 px and whose data is 50 bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (30000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(ImageError, match="pixels; scale it down"):
        load_rgb(bomb())
    with pytest.raises(ImageError, match="30x20 px is more than 500 pixels"):
        load_rgb(saved(QUARTERS, "PNG"), max_pixels=500)
    with pytest.raises(ImageError, match="more than 500"):
        read_size(saved(QUARTERS, "PNG"), max_pixels=500)
    assert load_rgb(saved(QUARTERS, "PNG"), max_pixels=600).shape == (20, 30, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_files_that_were_cut_off_are_refused(tmp_path, kind, share):
    data = saved(noise(), kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"cut\."):
        load_rgb(path)


def test_a_jpeg_without_its_last_bytes_is_refused_on_both_paths():
    for picture in (Image.fromarray(noise()), Image.fromarray(noise()).convert("CMYK")):
        data = saved(picture, "JPEG")
        with pytest.raises(ImageError, match="cut off"):
            load_rgb(data[:-200])


def test_a_jpeg_with_something_behind_its_end_is_read():
    data = saved(noise(), "JPEG")
    np.testing.assert_array_equal(load_rgb(data + b"trailer" * 50), load_rgb(data))
    np.testing.assert_array_equal(load_rgb(data + b"\0" * 10), load_rgb(data))


def test_no_images(tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: the file is empty"):
        load_rgb(empty)
    text = tmp_path / "notes.jpg"
    text.write_text("no photo at all\n" * 40)
    with pytest.raises(ImageError, match=r"notes\.jpg: not an image"):
        load_rgb(text)
    with pytest.raises(ImageError, match=r"gone\.jpg: cannot be read"):
        read_size(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="not a file"):
        load_rgb(tmp_path)
    with pytest.raises(ImageError, match="0 bytes"):
        load_rgb(b"")
    with pytest.raises(ImageError):
        load_rgb(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert issubclass(ImageError, InputError)


def test_random_damage_never_ends_in_another_exception():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"):
        data = np.frombuffer(saved(noise(40, 50), kind), np.uint8)
        for _ in range(40):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            try:
                rgb = load_rgb(damaged.tobytes(), max_pixels=1_000_000)
            except ImageError:
                continue
            assert rgb.dtype == np.uint8
            assert rgb.shape[2] == 3


def test_list_images(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png", "sub/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_images([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.png", "b.JPG", "sub/c.webp"]
    # A file named by the user is taken whatever its suffix; what comes twice is listed once, where it came first.
    assert list_images([tmp_path / "notes.txt", tmp_path / "sub" / ".." / "b.JPG", tmp_path])[2:] == [
        tmp_path / "a.png",
        tmp_path / "sub" / "c.webp",
    ]


def test_list_images_of_nothing(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        list_images([tmp_path / "gone"])
    with pytest.raises(InputError, match="no photo found"):
        list_images([tmp_path])
    with pytest.raises(InputError, match="no photo found"):
        list_images([])


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_a_pipe_is_no_photo(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a file"):
        load_rgb(tmp_path / "pipe.jpg")
