"""What is written for other toolkits and servers, and that nothing is lost by it."""

import sys
import zipfile

import numpy as np
import pytest

from datasets.boxes.boxes import format_rows
from evaluation.boxes.results import finished_videos, read_result
from scripts import pack_boxes
from tests.helpers.failures import failure_line
from tests.helpers.result_files import files_below
from util.errors import InputError
from util.files import write_text

ROWS = np.array([[1.25, -2.75, 10.999, 0.5], [3, 4, 5, 6], [3, 4, 5, 6]])
SECONDS = np.array([[0.5], [0.125], [0.00012345]])


@pytest.fixture
def results(tmp_path):
    """Two videos as eval_boxes.py writes them, and a third that is half done."""
    for name in ("a-1", "b-2"):
        write_text(tmp_path / f"run/{name}/{name}_001.txt", format_rows(ROWS, "%.3f"))
        write_text(tmp_path / f"run/{name}/{name}_time.txt", format_rows(SECONDS, "%.8f"))
    write_text(tmp_path / "run/.c-3.partial/c-3_001.txt", "1,2,3,4\n")
    return tmp_path / "run"


@pytest.fixture
def pack(results, monkeypatch):
    """Runs the script on the results."""

    def run(layout, output, *flags):
        words = ["--results", results, "--layout", layout, "--output", output, *flags]
        monkeypatch.setattr(sys, "argv", ["pack_boxes.py", *map(str, words)])
        pack_boxes.main()

    return run


EXACT = "1.250,-2.750,10.999,0.500\n3.000,4.000,5.000,6.000\n3.000,4.000,5.000,6.000\n"
WHOLE = "1\t-2\t10\t1\n3\t4\t5\t6\n3\t4\t5\t6\n"
OSTRACK = "test/tracking_results/T/C"
EIGHT, SIX = "0.50000000\n0.12500000\n0.00012345\n", "0.500000\n0.125000\n0.000123\n"


@pytest.mark.parametrize(
    ("layout", "boxes", "box_text", "times", "time_text"),
    [
        ("got10k", "GOT-10k/T/a-1/a-1_001.txt", EXACT, "GOT-10k/T/a-1/a-1_time.txt", EIGHT),
        ("got10k_lasot", "LaSOT/T/a-1.txt", EXACT, "LaSOT/T/times/a-1_time.txt", EIGHT),
        ("lasot_matlab", "tracking_results/T_tracking_result/a-1.txt", EXACT, None, None),
        ("ostrack", f"{OSTRACK}/a-1.txt", WHOLE, f"{OSTRACK}/a-1_time.txt", SIX),
        ("ostrack_got10k", f"{OSTRACK}/got10k/a-1.txt", WHOLE, f"{OSTRACK}/got10k/a-1_time.txt", SIX),
    ],
)
def test_each_layout_has_its_paths_and_its_numbers(pack, tmp_path, layout, boxes, box_text, times, time_text):
    pack(layout, tmp_path / "out", "--tracker", "T", "--config", "C")
    expected = [path for path in (boxes, times) if path]
    assert files_below(tmp_path / "out") == sorted(expected + [path.replace("a-1", "b-2") for path in expected])
    assert (tmp_path / "out" / boxes).read_text() == box_text
    if times:
        assert (tmp_path / "out" / times).read_text() == time_text


@pytest.mark.parametrize(
    ("layout", "row", "seconds"),
    [("submission", "1.250,-2.750,10.999,0.500", "0.50000000"), ("ostrack_submission", "1,-2,10,1", "0.500000")],
)
def test_an_archive_has_the_videos_at_its_root_and_the_results_stay(pack, results, tmp_path, layout, row, seconds):
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    for _ in range(2):
        pack(layout, tmp_path / "deep/sent.zip")
    with zipfile.ZipFile(tmp_path / "deep/sent.zip") as packed:
        assert packed.testzip() is None
        wanted = [f"{name}/{name}_{end}.txt" for name in ("a-1", "b-2") for end in ("001", "time")]
        assert packed.namelist() == wanted
        assert packed.read(wanted[0]).decode().splitlines()[0] == row
        assert packed.read(wanted[1]).decode().splitlines()[0] == seconds
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
    assert files_below(tmp_path / "deep") == ["sent.zip"]


@pytest.mark.parametrize("layout", ["got10k_lasot", "ostrack", "lasot_matlab"])
def test_what_is_written_can_be_read_again(pack, tmp_path, layout):
    pack(layout, tmp_path / "out")
    folder = next((tmp_path / "out").rglob("a-1.txt")).parent
    found = read_result(folder, "a-1")
    assert found.boxes[1:].tolist() == ROWS[1:].tolist()
    assert (found.seconds is None) == (layout == "lasot_matlab")


def test_no_side_becomes_zero_by_cutting_fractions_off(pack, tmp_path):
    pack("ostrack", tmp_path / "out")
    assert (read_result(tmp_path / "out/test/tracking_results/tracker/default", "b-2").boxes[:, 2:] > 0).all()


def test_a_list_says_which_videos_there_must_be(pack, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("b-2\n")
    pack("lasot_matlab", tmp_path / "out", "--list", tmp_path / "list.txt")
    assert [path.name for path in (tmp_path / "out").rglob("*.txt")] == ["b-2.txt"]
    (tmp_path / "list.txt").write_text("b-2\nc-3\n")
    archive = tmp_path / "sent.zip"
    line = failure_line(capsys, lambda: pack("submission", archive, "--list", tmp_path / "list.txt"))
    assert "video c-3 has no results" in line
    assert not archive.exists()


def test_times_that_are_missing_or_too_few_are_named(pack, results, tmp_path, capsys):
    write_text(results / "b-2/b-2_time.txt", "0.1\n")
    assert "b-2_time.txt has 1 rows" in failure_line(capsys, lambda: pack("submission", tmp_path / "sent.zip"))
    (results / "b-2/b-2_time.txt").unlink()
    assert "video b-2 has no times" in failure_line(capsys, lambda: pack("submission", tmp_path / "sent.zip"))
    assert not (tmp_path / "sent.zip").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--tracker", "../x"), "'../x' cannot be"),
        (("--config", ""), "'' cannot be"),
        (("--list", "none"), "list none"),
    ],
)
def test_bad_words_are_refused(pack, tmp_path, capsys, flags, message):
    assert message in failure_line(capsys, lambda: pack("ostrack", tmp_path / "out", *flags))
    assert not (tmp_path / "out").exists()


def test_an_archive_is_called_zip(pack, tmp_path, capsys):
    assert "NAME.zip" in failure_line(capsys, lambda: pack("submission", tmp_path / "folder"))


def test_a_folder_without_results_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no <video>/<video>_001\.txt"):
        finished_videos(tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere does not exist"):
        finished_videos(tmp_path / "nowhere")
