"""Lists of videos as editors of any system save them."""

import pytest

from datasets.video_list import read_video_list
from util.errors import InputError


@pytest.mark.parametrize(
    "content",
    [
        b"bear\ncow\n", b"\xef\xbb\xbfbear\r\ncow", "bear\r\ncow\r\n".encode("utf-16"), b"bear  \n\n\tcow\t\n",
        b"# of mine\nbear\ncow\nbear\n", b"JPEGImages/bear/0.jpg Annotations/bear/0.png\ncow\n",
    ],
)  # fmt: skip
def test_names_are_read_whatever_editor_saved_them(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_video_list(tmp_path / "list.txt") == ["bear", "cow"]


def test_names_may_hold_spaces_and_letters_of_any_language(tmp_path):
    (tmp_path / "list.txt").write_text("my dog\nbär\n", encoding="utf-8")
    assert read_video_list(tmp_path / "list.txt") == ["my dog", "bär"]


@pytest.mark.parametrize("content", [b"b\xe4r\n", "bear\n".encode("utf-16-le")])
def test_other_encodings_are_refused(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"list\.txt is no text in UTF-8"):
        read_video_list(tmp_path / "list.txt")
