"""Which frame a mask belongs to."""

from argparse import Namespace
from pathlib import Path

import pytest

from datasets.frame_files import NumberedNames
from datasets.test.mask_frames import FrameNames, assign_masks
from util.errors import InputError

PLAIN = FrameNames([str(number) for number in range(12)])
PADDED = FrameNames([f"{number:05d}" for number in range(3, 15)])
SHOTS = FrameNames(["shot1", "shot2", "shot10"])
MOVIE = FrameNames(NumberedNames(12))


@pytest.mark.parametrize(
    ("names", "mask", "position"),
    [
        (PLAIN, "10", 10), (PADDED, "00010", 7), (SHOTS, "shot10", 2), (MOVIE, "00004", 4),
    ],
)  # fmt: skip
def test_a_mask_belongs_to_the_frame_of_its_name(names, mask, position):
    assert names.of_single(mask, Path(f"{mask}.png")) == (position, "")


@pytest.mark.parametrize(
    ("names", "mask", "position"),
    [
        (PLAIN, "00010", 10), (PADDED, "10", 7), (PADDED, "0010", 7), (SHOTS, "10", 2), (SHOTS, "shot010", 2),
        (MOVIE, "4", 4),
    ],
)  # fmt: skip
def test_a_mask_of_equal_number_is_taken_and_that_is_said(names, mask, position):
    found, remark = names.of_single(mask, Path(f"{mask}.png"))
    assert found == position and f"{mask} is taken for frame {names.names[position]}" in remark


@pytest.mark.parametrize("names", [PLAIN, PADDED, SHOTS, MOVIE])
def test_a_number_that_no_frame_has_is_refused(names):
    with pytest.raises(InputError, match=r"00099\.png belongs to no frame .*name it like its frame"):
        names.of_single("00099", Path("00099.png"))


@pytest.mark.parametrize(("names", "mask"), [(PLAIN, "mask_2"), (SHOTS, "m10"), (MOVIE, "m2")])
def test_a_number_in_another_name_is_ambiguous(names, mask):
    with pytest.raises(InputError, match=r"may belong to the first frame, .* or to frame .*name it like its frame"):
        names.of_single(mask, Path(f"{mask}.png"))


@pytest.mark.parametrize("mask", ["first", "m0", "cat_77"])
def test_another_name_is_the_first_frame_and_that_is_said(mask):
    position, remark = PLAIN.of_single(mask, Path(f"{mask}.png"))
    assert position == 0 and "first frame, 0" in remark


@pytest.mark.parametrize("can_be_asked", [True, False])
@pytest.mark.parametrize(
    "masks", [["99"], ["m2"], ["0", "cat"], ["01", "02"], ["2"]], ids=lambda masks: " ".join(masks)
)
def test_start_is_named_where_the_command_line_has_it(can_be_asked, masks):
    source = Namespace(names=PLAIN.names)
    files = [Path(f"{mask}.png") for mask in masks]
    with pytest.raises(InputError) as error:
        assign_masks(source, files, None, "2", can_be_asked=can_be_asked)
    assert ("--start" in str(error.value)) == can_be_asked
    with pytest.raises(InputError, match=r"mask 99\.png belongs to no frame") as error:
        FrameNames(PLAIN.names, can_be_asked=can_be_asked).of_masks({"99": Path("99.png")})
    assert ("--start" in str(error.value)) == can_be_asked


def test_a_number_that_two_frames_have_is_refused():
    with pytest.raises(InputError, match="may belong to frame a1 or b1"):
        FrameNames(["a1", "b1"]).of_single("1", Path("1.png"))


def test_two_masks_of_one_frame_are_refused():
    with pytest.raises(InputError, match="00000 and 0 both belong to frame 0"):
        PLAIN.of_masks({"00000": Path("00000.png"), "0": Path("0.png")})


def test_start_is_a_name_before_a_position():
    assert PADDED.start("00004")[0] == 1
    assert PADDED.start("4") == (4, "")
    position, remark = FrameNames(["1", "2", "3"]).start("2")
    assert position == 1 and "not position 2" in remark
    with pytest.raises(InputError, match="there is no frame 99"):
        PADDED.start("99")


def test_frame_numbers_are_ascii_digits():
    assert FrameNames(["0²", "0①"]).of_single("x²", Path("x².png"))[0] == 0
