"""Quality tables, and which objects share a memory."""

import math
from dataclasses import replace

import pytest

from evaluation.quality_table import (
    HEADER,
    QualityRow,
    mean_quality,
    memory_lanes,
    read_quality_table,
)
from tests.helpers.quality_tables import write_quality_table
from util.errors import InputError

ROW = QualityRow(5, "00005", 1, 0.9125, 0.9876, "dynamic", False, 2, (0, 3, 5))
REJECTED = replace(ROW, frame=6, name="00006", stored="temporary", rejected=True, evicted=None)
SILENT = QualityRow(0, 'a, "b"', 2, None, None, "permanent", False, None, ())


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "video.csv"
    write_quality_table(path, [SILENT, ROW, REJECTED])
    return path


def test_a_written_table_reads_back(table):
    assert read_quality_table(table) == [SILENT, ROW, REJECTED]


def test_the_table_is_plain_csv_with_four_decimals(table):
    lines = table.read_text().splitlines()
    assert lines[0] == "frame,name,object,quality,relative_quality,stored,rejected,evicted,memory_frames"
    assert lines[1] == '0,"a, ""b""",2,,,permanent,0,,'
    assert lines[2] == "5,00005,1,0.9125,0.9876,dynamic,0,2,0 3 5"
    assert lines[3] == "6,00006,1,0.9125,0.9876,temporary,1,,0 3 5"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_that_a_spreadsheet_saved_is_read(table, encoding):
    table.write_bytes(table.read_text().replace("\n", "\r\n").encode(encoding))
    assert read_quality_table(table) == [SILENT, ROW, REJECTED]


def test_rows_come_by_frame_and_then_by_object(tmp_path):
    order = [(9, 2), (9, 1), (0, 2), (10, 1)]
    rows = [replace(ROW, frame=frame, object=object_id) for frame, object_id in order]
    write_quality_table(tmp_path / "t.csv", rows)
    read = read_quality_table(tmp_path / "t.csv")
    assert [(row.frame, row.object) for row in read] == [(0, 2), (9, 1), (9, 2), (10, 1)]


def test_an_unknown_quality_of_nan_reads_back_as_nan(tmp_path):
    write_quality_table(tmp_path / "t.csv", [replace(ROW, quality=math.nan)])
    (row,) = read_quality_table(tmp_path / "t.csv")
    assert math.isnan(row.quality)


def test_a_missing_table_is_named_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv does not exist; segment again with --quality_csv --overwrite$"):
        read_quality_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (",".join(HEADER), "frame,name,quality_1"),
        (",0 3 5", ""),
        ("dynamic,0", "dynamic,yes"),
        ("dynamic", "forever"),
        ("0.9125", "good"),
        ("0.9125", "inf"),
        ("0.9125", '"0,9125"'),
        ("5,00005", "-1,00005"),
        ("6,00006", "5,00005"),
        ("0 3 5", "0 x 5"),
        ('"a, ""b"""', '"a'),
    ],
)
def test_a_damaged_table_is_named_with_the_remedy(table, good, bad):
    text = table.read_text()
    assert good in text
    table.write_text(text.replace(good, bad))
    with pytest.raises(
        InputError, match=r"video\.csv is damaged \(.+\); segment again with --quality_csv --overwrite$"
    ):
        read_quality_table(table)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_table_that_is_no_text_table_is_damaged(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged|is no text"):
        read_quality_table(tmp_path / "t.csv")


def test_objects_with_equal_decisions_have_one_memory():
    rows = [replace(ROW, frame=frame, object=object_id) for frame in range(3) for object_id in (1, 2)]
    late = replace(ROW, frame=2, object=3)
    lanes = memory_lanes([*rows, late])
    assert list(lanes) == ["memory"]
    assert [row.frame for row in lanes["memory"]] == [0, 1, 2]


@pytest.mark.parametrize("change", [{"stored": "temporary"}, {"rejected": True}, {"evicted": 3}])
def test_objects_that_differ_in_one_decision_have_a_memory_each(change):
    rows = [replace(ROW, object=10), replace(ROW, object=2, **change), replace(ROW, frame=6, object=10)]
    lanes = memory_lanes(rows)
    assert list(lanes) == ["object 2", "object 10"]
    assert lanes["object 10"] == [rows[0], rows[2]]


def test_no_rows_make_no_memory():
    assert memory_lanes([]) == {}


def test_the_mean_quality_leaves_out_what_is_unknown():
    rows = [replace(ROW, quality=quality) for quality in (0.5, None, math.nan, 1.0)]
    assert mean_quality(rows) == 0.75
    assert mean_quality([SILENT]) is None
