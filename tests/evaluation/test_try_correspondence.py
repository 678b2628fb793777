"""Correspondences of two frames, from the command line and in the window."""

import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import try_correspondence
from datasets.frame_files import read_frame
from datasets.mask_files import read_ids, write_ids
from evaluation.report.correspondence import choose_point, why_no_window
from evaluation.report.pictures import MARGIN, colour_of
from model import build_network
from model.memory.read import MemoryEntry
from model.memory_network import AffinityNetwork, QueryFeatures
from model.weights.checkpoint import Checkpoint, save_checkpoint
from tests.helpers.result_files import shown
from try_correspondence import CLIP, main
from util.errors import InputError

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 64, 96
GREY = 120
CORNER, SIZE = (12, 10), (40, 60)
ESCAPE = "\x1b"


class SamePlace(AffinityNetwork):
    """Every cell of the target finds the cell of the source that lies in its place."""

    arch = "same_place"
    quality_scorer = None

    def key(self, image):
        cells = image.shape[-2] // 16 * (image.shape[-1] // 16)
        return 30 * torch.eye(cells)[None]

    def encode_query(self, image, prior, features=None):
        key = self.key(image).unflatten(2, (image.shape[-2] // 16, -1))
        return QueryFeatures(key, key, key, key, key)

    def encode_memory(self, image, masks, query=None, others=None, **options):
        key = self.key(image).unsqueeze(1)
        return MemoryEntry(key, key, None)


@pytest.fixture
def frames(tmp_path):
    """Two grey frames; returns the arguments that name them."""
    for name in "ab":
        write_grey(tmp_path / f"{name}.png")
    return ["--source", f"{tmp_path}/a.png", "--target", f"{tmp_path}/b.png", "--device", "cpu"]


@pytest.fixture
def same_place(monkeypatch):
    monkeypatch.setattr(try_correspondence, "load_network", lambda path, device: SamePlace())


def write_grey(path, height=HEIGHT, width=WIDTH):
    Image.fromarray(np.full((height, width, 3), GREY, np.uint8)).save(path)


def halves(path, height=HEIGHT, width=WIDTH):
    """Source and target of a picture that was written."""
    sheet = read_frame(path)
    rows = slice(MARGIN, MARGIN + height)
    return [sheet[rows, x : x + width] for x in (MARGIN, 2 * MARGIN + width)]


def changed(picture):
    return (picture != GREY).any(-1)


# Points


def test_the_source_has_a_cross_and_the_target_heat_in_the_same_place(frames, same_place, tmp_path, capsys):
    main([*frames, "--point", "40,24", "--output", f"{tmp_path}/out/picture.png"])
    source, target = halves(tmp_path / "out/picture.png")
    cross = np.argwhere(changed(source))
    assert cross.mean(0) == pytest.approx([24, 40], abs=1)
    assert changed(source).sum() < 200
    hot = np.abs(target.astype(int) - GREY).sum(-1)
    assert np.argwhere(hot > 0.9 * hot.max()).mean(0) == pytest.approx([23.5, 39.5], abs=1)
    assert not changed(target)[:, 64:].any()
    assert capsys.readouterr().out == "40,24 -> 40,24\n"


def test_each_point_has_its_own_colour_in_both_frames(frames, same_place, tmp_path):
    main([*frames, "--point", "8,8", "--point", "88,56", "--output", f"{tmp_path}/picture.png"])
    source, target = halves(tmp_path / "picture.png")
    for number, (x, y) in enumerate([(8, 8), (88, 56)]):
        colour = np.array(colour_of(number))
        assert (source[y, x] == colour).all()
        tint = target[y, x].astype(int) - GREY
        assert (np.sign(tint) == np.sign(colour - GREY)).all()


@pytest.mark.parametrize("size", [(70, 100), (60, 90)])
def test_frames_of_any_size_are_padded_and_pictures_are_not(frames, same_place, tmp_path, size, capsys):
    for name in "ab":
        write_grey(tmp_path / f"{name}.png", *size)
    main([*frames, "--point", "50,30", "--output", f"{tmp_path}/picture.png"])
    _, target = halves(tmp_path / "picture.png", *size)
    hot = np.argwhere(changed(target))
    assert hot.min() >= 14
    x, y = map(int, capsys.readouterr().out.split("-> ")[1].split(","))
    assert abs(x - 50) <= 8 and abs(y - 30) <= 8


def test_size_shrinks_the_picture_and_points_stay_pixels_of_the_file(frames, same_place, tmp_path, capsys):
    write_grey(tmp_path / "a.png", 128, 192)
    main([*frames, "--point", "80,48", "--size", "64", "--output", f"{tmp_path}/picture.png"])
    source, _ = halves(tmp_path / "picture.png")
    assert np.argwhere(changed(source)).mean(0) == pytest.approx([24, 40], abs=1)
    assert capsys.readouterr().out == "80,48 -> 40,24\n"


def test_top_k_is_the_number_of_source_cells_that_count(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(SamePlace, "key", lambda self, image: torch.eye(24)[None])
    monkeypatch.setattr(try_correspondence, "load_network", lambda path, device: SamePlace())
    warm = {}
    for options in ((), ("--top_k", "1")):
        main([*frames, "--point", "40,24", "--output", f"{tmp_path}/picture.png", *options])
        warm[options] = changed(halves(tmp_path / "picture.png")[1]).mean()
    assert warm[()] == 1
    assert warm["--top_k", "1"] < 0.5


def test_a_checkpoint_of_any_network_will_do(frames, tmp_path):
    torch.manual_seed(0)
    network = build_network("mask_propagation", backbone="resnet18")
    save_checkpoint(tmp_path / "n.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    main([*frames, "--model", f"{tmp_path}/n.pth", "--point", "40,24", "--output", f"{tmp_path}/picture.png"])
    assert changed(halves(tmp_path / "picture.png")[1]).any()


def test_a_network_without_keys_is_refused(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(try_correspondence, "load_network", lambda path, device: torch.nn.Identity())
    with pytest.raises(InputError, match=r"mine\.pth holds a network that compares no keys"):
        main([*frames, "--model", "mine.pth", "--point", "40,24", "--output", f"{tmp_path}/picture.png"])
    assert not (tmp_path / "picture.png").exists()


# Masks


def test_each_object_of_a_mask_is_carried_over(frames, same_place, tmp_path):
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[16:48, 16:48], ids[16:48, 64:96] = 3, 7
    write_ids(tmp_path / "mask.png", ids)
    paths = [f"{tmp_path}/{name}.png" for name in ("picture", "carried")]
    main([*frames, "--mask", f"{tmp_path}/mask.png", "--output", paths[0], "--mask_output", paths[1]])
    carried = read_ids(tmp_path / "carried.png")
    assert (carried == ids).mean() > 0.95
    assert set(np.unique(carried)) == {0, 3, 7}
    source, target = halves(tmp_path / "picture.png")
    for half in (source, target):
        assert changed(half)[20:44, 20:44].all()
        assert not changed(half)[:8].any()


def test_the_carried_mask_has_the_size_of_the_target_file(frames, same_place, tmp_path):
    write_grey(tmp_path / "b.png", 128, 192)
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[16:48, 16:48] = 1
    write_ids(tmp_path / "mask.png", ids)
    paths = [f"{tmp_path}/{name}.png" for name in ("picture", "carried")]
    options = ["--mask_output", paths[1], "--size", "64"]
    main([*frames, "--mask", f"{tmp_path}/mask.png", "--output", paths[0], *options])
    carried = read_ids(tmp_path / "carried.png")
    assert (carried == ids.repeat(2, 0).repeat(2, 1)).mean() > 0.95


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--point", "96,10"], r"point 96,10 is outside .*a\.png; give 0,0 to 95,63"),
        (["--point=-1,10"], r"point -1,10 is outside .*a\.png"),
        (["--mask", "{folder}/none.png"], r"none\.png does not exist"),
        (["--mask", "{folder}/small.png"], r"small\.png is 20x10 but .*a\.png 96x64"),
        (["--mask", "{folder}/empty.png"], r"empty\.png holds no object"),
        (["--point", "1,1", "--target", "{folder}/wide.png"], r"wide\.png is 200x64 and .*a\.png 96x64"),
        (["--point", "1,1", "--target", "{folder}/none.jpg"], r"none\.jpg does not exist"),
        (["--point", "1,1", "--output", "{folder}/picture.jpg"], r"picture\.jpg .* ends in \.png"),
        (["--point", "1,1", "--output", "{folder}/a.png/picture.png"], r"would meet"),
    ],
)
def test_bad_input_is_named_in_a_line_and_nothing_is_written(frames, same_place, tmp_path, options, message):
    write_ids(tmp_path / "small.png", np.ones((10, 20), np.uint8))
    write_ids(tmp_path / "empty.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    write_grey(tmp_path / "wide.png", HEIGHT, 200)
    before = sorted(tmp_path.iterdir())
    output = ["--output", f"{tmp_path}/picture.png"]
    with pytest.raises(InputError, match=message) as caught:
        main([*frames, *output, *(option.format(folder=tmp_path) for option in options)])
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--point", "1;2", "--output", "p.png"], "1;2 is not a point"),
        (["--point", "1,2"], "need --output"),
        (["--mask", "m.png", "--point", "1,2", "--output", "p.png"], "not allowed with"),
        (["--point", "1,2", "--output", "p.png", "--mask_output", "m.png"], "needs --mask"),
        (["--size", "0"], "0 is not a whole number from 16 to"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(frames, capsys, options, message):
    with pytest.raises(SystemExit):
        main([*frames, *options])
    assert message in capsys.readouterr().err


# The window


def test_the_point_chosen_in_the_window_heats_the_target(frames, same_place, tmp_path, monkeypatch):
    monkeypatch.setattr(try_correspondence, "why_no_window", lambda: None)
    shown = []

    def choose(draw, corner, size):
        assert (corner, size) == ((MARGIN, MARGIN), (HEIGHT, WIDTH))
        shown.extend([draw(None), draw((40, 24))])
        return 40, 24

    monkeypatch.setattr(try_correspondence, "choose_point", choose)
    main([*frames, "--output", f"{tmp_path}/window.png"])
    main([*frames, "--point", "40,24", "--output", f"{tmp_path}/point.png"])
    written = [read_frame(tmp_path / f"{name}.png") for name in ("window", "point")]
    assert (written[0] == written[1]).all() and (written[0] == shown[1]).all()
    assert not changed(shown[0][MARGIN : MARGIN + HEIGHT, MARGIN : MARGIN + WIDTH]).any()


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_display_points_or_a_mask_are_asked_for(frames, no_display):
    with pytest.raises(InputError, match=r"no display.*--point.*--mask"):
        main(frames)


# The clicks, with a stand-in for the window of OpenCV


class Screen:
    """Plays the events of a user and keeps the pictures shown, in RGB.

    An event is a click (x, y) in pixels of the picture, a key, or None for nothing.
    """

    def __init__(self, monkeypatch, events, visible=1.0):
        self.events, self.shown, self.open = list(events), [], False
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: setattr(self, "open", True))
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: setattr(self, "open", False))
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
        monkeypatch.setattr(cv2, "setMouseCallback", lambda title, click: setattr(self, "click", click))
        monkeypatch.setattr(cv2, "imshow", lambda title, picture: self.shown.append(picture[..., ::-1]))
        monkeypatch.setattr(cv2, "waitKey", self.wait)

    def wait(self, milliseconds):
        event = self.events.pop(0)
        if isinstance(event, str):
            return ord(event)
        if event is not None:
            self.click(cv2.EVENT_MOUSEMOVE, 0, 0, 0, None)
            self.click(cv2.EVENT_LBUTTONDOWN, *event, 0, None)
        return -1


def coded(point):
    """A picture whose first pixel is the point."""
    return np.full((60, 150, 3), (*(point or (0, 0)), 200), np.uint8)


@pytest.mark.parametrize("key", ["q", ESCAPE])
def test_a_click_chooses_a_point_and_a_key_ends_it(monkeypatch, key):
    screen = Screen(monkeypatch, [None, (12 + 33, 10 + 21), None, key])
    assert choose_point(coded, CORNER, SIZE) == (33, 21)
    assert [picture[0, 0].tolist() for picture in screen.shown] == [[0, 0, 200], [33, 21, 200]]
    assert not screen.open


def test_the_last_click_counts(monkeypatch):
    Screen(monkeypatch, [(20, 20), (30, 40), "x", "q"])
    assert choose_point(coded, CORNER, SIZE) == (18, 30)


def test_clicks_beside_the_area_choose_nothing(monkeypatch):
    screen = Screen(monkeypatch, [(11, 20), (20, 9), (72, 20), (20, 50), "q"])
    assert choose_point(coded, CORNER, SIZE) is None
    assert len(screen.shown) == 1


def test_closing_the_window_ends_it(monkeypatch):
    screen = Screen(monkeypatch, [None], visible=0.0)
    assert choose_point(coded, CORNER, SIZE) is None
    assert not screen.open


def test_an_opencv_without_windows_asks_for_points_or_a_mask(monkeypatch):
    def refuse(*_):
        raise cv2.error("The function is not implemented")

    Screen(monkeypatch, [])
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(InputError, match=r"no windows.*--point.*--mask"):
        choose_point(coded, CORNER, SIZE)


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_either_kind_of_display_will_do(monkeypatch, name):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    assert "no display" in why_no_window()
    monkeypatch.setenv(name, "0")
    assert why_no_window() is None
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    assert "no windows" in why_no_window()


# Without arguments


def test_two_frames_of_the_clip_are_shown_in_the_window(same_place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(try_correspondence, "why_no_window", lambda: None)
    sizes = []
    monkeypatch.setattr(try_correspondence, "choose_point", lambda draw, corner, size: sizes.append(size))
    main([])
    assert sizes == [(480, 854)]
    assert not list(tmp_path.iterdir())


def test_without_a_display_the_dog_is_found_in_a_picture_whose_place_is_told(tmp_path, monkeypatch, capsys, no_display):
    monkeypatch.chdir(tmp_path)
    main(["--size", "240"])
    *points, last = capsys.readouterr().out.splitlines()
    assert last == "there is no display for a window; the picture is in output/correspondence.png"
    x, y = map(int, points[0].split(" -> ")[1].split(","))
    mask = read_ids(CLIP.parent / "masks/libby/00016.png")
    assert mask[y, x] == 1, "the point on the dog's head lies on the dog"
    source, target = halves(tmp_path / "output/correspondence.png", 240, 427)
    assert changed(source).any() and (source != target).any()
    assert [path.name for path in shown(tmp_path / "output")] == ["correspondence.png"]


@pytest.mark.parametrize("option", ["--source", "--target"])
def test_one_frame_alone_is_refused(capsys, option):
    with pytest.raises(SystemExit):
        main([option, "a.png"])
    assert "--source and --target need each other" in capsys.readouterr().err


def test_points_and_the_output_may_be_chosen_on_the_clip_too(same_place, tmp_path, monkeypatch, capsys, no_display):
    monkeypatch.chdir(tmp_path)
    main(["--size", "240", "--output", "mine.png"])
    capsys.readouterr()
    main(["--size", "240", "--output", "mine.png"])
    main(["--size", "240", "--point", "530,247", "--output", "point.png"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("the picture is in mine.png")
    assert lines[3:] == lines[:1]
    assert (halves(tmp_path / "mine.png", 240, 427)[0] != halves(tmp_path / "point.png", 240, 427)[0]).any()


def test_a_picture_of_the_user_is_not_replaced(tmp_path, monkeypatch, no_display):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    (tmp_path / "output/correspondence.png").write_text("mine")
    with pytest.raises(InputError, match=r"correspondence\.png exists"):
        main([])
    assert (tmp_path / "output/correspondence.png").read_text() == "mine"
