"""What the pixels of a frame mean: depths, orientation, damage."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from datasets.frame_files import FrameFolder, read_frame
from datasets.mask_files import read_ids
from util.errors import InputError
from util.images import list_images, natural_key, picture_size

SIZE = (24, 40)


@pytest.fixture
def scene():
    """A smooth picture, RGB (H, W, 3)."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([rows * 8, columns * 5, rows * 3 + columns], -1).astype(np.uint8)


def save_deep(folder, frames):
    for number, frame in enumerate(frames):
        Image.fromarray(frame.astype(np.uint16)).save(folder / f"{number:05d}.png")


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_16_bit_frames_are_shown_by_the_range_that_they_use(tmp_path, scene, bits, caplog):
    white = (1 << bits) - 1
    deep = scene[..., 0].astype(np.int64) * white // 255
    deep[0, 0] = white
    save_deep(tmp_path, [deep] * 3)
    source = FrameFolder(tmp_path)
    shown = source.load(source.paths[2])
    assert shown.shape == (*SIZE, 3)
    np.testing.assert_allclose(shown[1:, 1:, 0].astype(int), scene[1:, 1:, 0], atol=1)
    assert f"0..{white} become 0..255" in caplog.text


def test_16_bit_colours_keep_their_depth(tmp_path, scene):
    cv2.imwrite(str(tmp_path / "00000.png"), scene[..., ::-1].astype(np.uint16) * 16)
    source = FrameFolder(tmp_path)
    np.testing.assert_allclose(source.load(source.paths[0]).astype(int), scene, atol=2)


def test_a_later_frame_beyond_the_range_is_named(tmp_path, scene):
    dark = scene[..., 0].astype(np.int64)
    save_deep(tmp_path, [dark, dark, dark + 60000, dark, dark])
    source = FrameFolder(tmp_path)
    source.white = 1023
    with pytest.raises(InputError, match=r"00002\.png holds the value"):
        source.load(source.paths[2])


def test_pictures_of_fractions_are_refused(tmp_path):
    Image.fromarray(np.zeros(SIZE, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="fractions"):
        read_frame(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_frames_are_turned_as_viewers_turn_them(tmp_path, scene, orientation, suffix):
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene).save(path, exif=exif, **({"quality": 95} if suffix == ".jpg" else {}))
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_frame(path), expected)
    assert picture_size(path) == expected.shape[:2]


def test_masks_are_turned_like_frames(tmp_path):
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ids).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(read_ids(tmp_path / "m.png"), np.rot90(ids, 3))


@pytest.mark.parametrize("how", ["filled", "cut"])
def test_a_jpeg_that_is_broken_inside_is_named(tmp_path, how, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    middle = len(content) // 2
    broken = content[:middle] + bytes(200) + content[middle + 200 :] if how == "filled" else content[:middle]
    (tmp_path / "a.jpg").write_bytes(broken[:-2] + b"\xff\xd9")
    with pytest.raises(InputError, match=r"a\.jpg cannot be read"):
        read_frame(tmp_path / "a.jpg")
    assert capfd.readouterr().err == "", "the library says nothing by itself"


def test_a_jpeg_that_claims_an_absurd_size_is_refused(tmp_path, scene):
    Image.fromarray(scene).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = (65500).to_bytes(2, "big") * 2
    (tmp_path / "a.jpg").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a\.jpg claims 65500x65500"):
        read_frame(tmp_path / "a.jpg")


@pytest.mark.slow
def test_a_png_that_claims_an_absurd_size_is_refused(tmp_path, scene):
    Image.new("1", (40000, 40000)).save(tmp_path / "a.png")
    for read in (read_frame, read_ids):
        with pytest.raises(InputError, match=r"a\.png claims"):
            read(tmp_path / "a.png")


def test_a_file_of_several_pictures_is_refused(tmp_path, scene):
    pages = [Image.fromarray(scene), Image.fromarray(scene[::-1])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="2 pictures"):
        read_frame(tmp_path / "a.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_folders_and_hidden_files_are_no_frames_and_pipes_are_refused(tmp_path, scene):
    Image.fromarray(scene).save(tmp_path / "1.jpg")
    (tmp_path / "3.jpg").mkdir()
    (tmp_path / "._1.jpg").write_bytes(b"x")
    (tmp_path / "4.jpg").symlink_to(tmp_path / "1.jpg")
    assert [path.name for path in list_images(tmp_path)] == ["1.jpg", "4.jpg"]
    (tmp_path / "5.jpg").symlink_to(tmp_path / "none.jpg")
    with pytest.raises(InputError, match=r"5\.jpg is a pipe, a device or a broken link"):
        list_images(tmp_path)
    os.mkfifo(tmp_path / "2.jpg")
    with pytest.raises(InputError, match=r"2\.jpg is no file"):
        read_ids(tmp_path / "2.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_turned_too(tmp_path, orientation):
    values = np.random.default_rng(0).integers(0, 65536, (12, 12, 3)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = values[..., 0].astype(np.uint8)
    Image.fromarray(flat).save(tmp_path / "order.png", exif=exif)
    cv2.imwrite(str(tmp_path / "a.png"), values[..., ::-1])
    content = (tmp_path / "a.png").read_bytes()
    stored = (tmp_path / "order.png").read_bytes()
    start = stored.index(b"eXIf") - 4
    chunk = stored[start : start + 12 + int.from_bytes(stored[start : start + 4], "big")]
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    turned = read_ids(tmp_path / "order.png")
    np.testing.assert_array_equal(np.sort(turned.ravel()), np.sort(flat.ravel()))
    shown = read_frame(tmp_path / "a.png")[..., 0]
    expected = np.array(ImageOps.exif_transpose(Image.open(tmp_path / "order.png")))
    places = np.array([np.flatnonzero(flat.ravel() == value)[0] for value in expected.ravel()])
    found = (values[..., 0].ravel()[places] / 257).reshape(12, 12)
    same = np.array([(flat == value).sum() == 1 for value in expected.ravel()]).reshape(12, 12)
    np.testing.assert_allclose(shown[same], found[same], atol=1)


def test_frames_of_another_depth_than_the_first_are_refused(tmp_path, scene):
    Image.fromarray(scene[..., 0]).save(tmp_path / "0.png")
    save_deep(tmp_path, [scene[..., 0].astype(np.int64) * 16])
    source = FrameFolder(tmp_path)
    with pytest.raises(InputError, match=r"bits, the video's first frame"):
        for path in source.paths:
            source.load(path)


def test_a_video_that_begins_dark_keeps_its_range(tmp_path, scene):
    save_deep(tmp_path, [scene[..., 0].astype(np.int64) * share for share in (1, 60, 257, 60, 1)])
    source = FrameFolder(tmp_path)
    assert source.white == 65535
    assert source.load(source.paths[2]).max() > 180


def test_names_with_other_digits_have_an_order():
    names = ["10", "2", "0²", "①", "٣", "a2", "a10"]
    ordered = [path.stem for path in sorted(map(Path, names), key=natural_key)]
    assert ordered.index("2") < ordered.index("10") and ordered.index("a2") < ordered.index("a10")
