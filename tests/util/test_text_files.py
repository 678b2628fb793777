"""Text, JSON and numbers as other people and other programs save them."""

import json

import pytest

from util.errors import InputError
from util.text_files import read_json, read_numbers, read_text

CONTENT = {"videos": {"bär": [5, 0.5, None]}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_in_any_encoding_that_tells_itself(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes(json.dumps(CONTENT, ensure_ascii=False).encode(encoding))
    assert read_json(tmp_path / "a.json") == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b'{"a": 1', "is no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"9" * 6000, "a number has 6000 digits"),
        (b'{"b\xe4r": 1}', "is no text"),
        ('{"a": 1}'.encode("utf-16-le"), "is no text"),
    ],
)
def test_what_is_no_json_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json.*{message}"):
        read_json(tmp_path / "a.json")


def test_a_file_that_is_too_large_is_no_list(tmp_path):
    (tmp_path / "list.txt").write_text("bear\ncow\n")
    with pytest.raises(InputError, match=r"list\.txt has more than"):
        read_text(tmp_path / "list.txt", largest=4)


@pytest.mark.parametrize("text", ["1, 2\r\n3\t4", "\ufeff1 2\n\n 3 , 4 \n", "1,2,\n3,4,\n", "1 2\n3e0 +4.0"])
def test_numbers_are_read_whatever_separates_them(tmp_path, text):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    assert read_numbers(tmp_path / "t.txt").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1;2", "separate numbers by commas"),
        ("1,,2", "line 3 is '1,,2'"),
        (",1,2", "line 3"),
        ("1_0,2", "line 3"),
        ("٣,2", "line 3"),
        ("one,2", "line 3"),
        ("1,2,3", "3 numbers in line 3, but 2 in the first"),
        ("1", "1 numbers in line 3"),
    ],
)
def test_the_line_that_is_no_row_of_numbers_is_named(tmp_path, row, message):
    (tmp_path / "t.txt").write_text(f"1,2\n\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"t\.txt is no table of numbers.*{message}"):
        read_numbers(tmp_path / "t.txt")
