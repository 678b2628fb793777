"""Unpacking archives."""

import errno
import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest

from scripts.download.unpack import unpack
from tests.helpers.file_server import zip_bytes
from util.errors import InputError
from util.progress import Progress

FILES = {"DAVIS/a/1.txt": "one", "DAVIS/2.txt": "two", "README": "text", "__MACOSX/DAVIS/._2.txt": "junk"}
Usage = namedtuple("Usage", "total used free")


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_tar(path, entries, mode="w"):
    """Entries are (name, content) or TarInfo."""
    with tarfile.open(path, mode) as packed:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                packed.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                packed.addfile(info, io.BytesIO(entry[1].encode()))
    return path


def write_zip(path, files):
    path.write_bytes(zip_bytes(files))
    return path


def tar_entry(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def pack(path, kind):
    if kind == "zip":
        return write_zip(path / "x.zip", FILES)
    return write_tar(path / f"x.{kind}", FILES.items(), {"tar": "w", "tar.gz": "w:gz"}[kind])


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_all_of_an_archive_becomes_the_folder(tmp_path, kind):
    unpack(pack(tmp_path, kind), tmp_path / "deep/out")
    assert tree(tmp_path / "deep") == {"out/DAVIS/a/1.txt": "one", "out/DAVIS/2.txt": "two", "out/README": "text"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_folder_of_an_archive_takes_another_name(tmp_path, kind):
    unpack(pack(tmp_path, kind), tmp_path / "out/2016", "DAVIS")
    assert tree(tmp_path / "out") == {"2016/a/1.txt": "one", "2016/2.txt": "two"}


def test_a_folder_that_the_archive_does_not_have_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"x\.zip holds nothing in a folder DAVIS/Scribbles"):
        unpack(pack(tmp_path, "zip"), tmp_path / "out", "DAVIS/Scribbles")
    assert not (tmp_path / "out").exists()


HOSTILE_TARS = {
    "parent": [("../evil", "x")],
    "parent in the middle": [("a/../../evil", "x")],
    "absolute": [("/tmp/evil-of-the-test", "x")],
    "drive letter": [("C:\\evil", "x")],
    "backslashes": [("a\\..\\..\\evil", "x")],
    "link to the outside": [tar_entry("link", tarfile.SYMTYPE, "../elsewhere")],
    "link to an absolute path": [tar_entry("link", tarfile.SYMTYPE, "/etc")],
    "hard link to the outside": [tar_entry("link", tarfile.LNKTYPE, "../elsewhere")],
    "links that lead out together": [
        ("d/f", "x"),
        tar_entry("d/here", tarfile.SYMTYPE, "."),
        tar_entry("d/out", tarfile.SYMTYPE, "here/../.."),
    ],
    "device": [tar_entry("null", tarfile.CHRTYPE)],
    "pipe": [tar_entry("pipe", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("entries", HOSTILE_TARS.values(), ids=HOSTILE_TARS)
def test_a_hostile_tar_leaves_nothing_behind(tmp_path, entries):
    archive = write_tar(tmp_path / "x.tar", [("good", "x"), *entries])
    with pytest.raises(InputError, match=r"x\.tar holds .* nothing was unpacked") as raised:
        unpack(archive, tmp_path / "deep/out")
    assert repr(entries[-1].name if isinstance(entries[-1], tarfile.TarInfo) else entries[-1][0]) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


HOSTILE_ZIPS = {
    "parent": ("../evil", "x"),
    "absolute": ("/evil", "x"),
    "link": (zip_entry("link", stat.S_IFLNK | 0o777), "../../etc"),
    "device": (zip_entry("null", stat.S_IFCHR | 0o666), ""),
}


@pytest.mark.parametrize("entry", HOSTILE_ZIPS.values(), ids=HOSTILE_ZIPS)
def test_a_hostile_zip_leaves_nothing_behind(tmp_path, entry):
    archive = write_zip(tmp_path / "x.zip", {"good": "x", entry[0]: entry[1]})
    with pytest.raises(InputError, match=r"x\.zip holds .* nothing was unpacked"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_link_out_of_the_chosen_folder_is_hostile_too(tmp_path):
    archive = write_tar(tmp_path / "x.tar", [("DAVIS/a", "x"), tar_entry("DAVIS/b", tarfile.SYMTYPE, "../other")])
    with pytest.raises(InputError, match=r"'b' would link to .*, which is outside"):
        unpack(archive, tmp_path / "out", "DAVIS")


def test_links_within_the_folder_are_kept(tmp_path):
    links = [tar_entry("top/b", tarfile.SYMTYPE, "d/a"), tar_entry("top/c", tarfile.LNKTYPE, "top/d/a")]
    unpack(write_tar(tmp_path / "x.tar", [*links, ("top/d/a", "x")]), tmp_path / "out", "top")
    assert (tmp_path / "out/b").is_symlink()
    assert tree(tmp_path / "out") == {"b": "x", "c": "x", "d/a": "x"}


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 5))
    with pytest.raises(InputError, match=r"unpacking x\.zip needs 6 bytes .* only 5 bytes"):
        unpack(pack(tmp_path, "zip"), tmp_path / "out", "DAVIS")
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_leaves_no_folder(tmp_path):
    content = zip_bytes({"a": b"x" * 1000})
    (tmp_path / "x.zip").write_bytes(content.replace(b"x" * 1000, b"x" * 500 + b"y" * 500))
    with pytest.raises(InputError, match=r"x\.zip is damaged .*CRC"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_tar_leaves_no_folder(tmp_path, mode):
    archive = write_tar(tmp_path / "x.tar", [("a", "a" * 3000), ("b", "".join(map(str, range(9000))))], mode)
    archive.write_bytes(archive.read_bytes()[:-12000])
    with pytest.raises(InputError, match=r"x\.tar is damaged"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


TAR_FILES = [(f"v/{number}.png", f"{number}" * 700) for number in range(4)]  # a header and two blocks each
MEMBER = 3 * tarfile.BLOCKSIZE
END = 4 * MEMBER
ZEROS = bytes(tarfile.BLOCKSIZE)
DAMAGED_TARS = {
    "flipped bit in a header": lambda tar: tar[:MEMBER] + bytes([tar[MEMBER] ^ 1]) + tar[MEMBER + 1 :],
    "zero block in the middle": lambda tar: tar[:MEMBER] + ZEROS + tar[MEMBER + 512 :],
    "zero blocks between members": lambda tar: tar[:MEMBER] + 2 * ZEROS + tar[MEMBER:],
    "cut inside a header": lambda tar: tar[: MEMBER + 100],
    "cut between members": lambda tar: tar[:MEMBER],
    "cut inside a member": lambda tar: tar[: MEMBER + 600],
    "cut after the last member": lambda tar: tar[:END],
    "half an end": lambda tar: tar[: END + 512],
    "another archive behind it": lambda tar: tar + tar,
    "text behind it": lambda tar: tar + b"text",
    "block of text behind it": lambda tar: tar[: END + 1024] + b"t" * 512,
}


@pytest.mark.parametrize("damage", DAMAGED_TARS.values(), ids=DAMAGED_TARS)
@pytest.mark.parametrize("packing", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_a_tar_that_lost_a_part_leaves_no_folder(tmp_path, damage, packing):
    content = write_tar(tmp_path / "x.tar", TAR_FILES).read_bytes()
    (tmp_path / "x.tar").write_bytes(packing(damage(content)))
    with pytest.raises(InputError, match=r"x\.tar is damaged .*, so nothing was unpacked"):
        unpack(tmp_path / "x.tar", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("padding", [1024, 10240, 1 << 20])
def test_a_whole_tar_may_have_long_names_and_any_padding(tmp_path, form, padding):
    name = "/".join(["folder" * 10] * 4)
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as packed:
        packed.addfile(tarfile.TarInfo(name))
        end = packed.offset
    content = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(content[:end] + bytes(padding))
    unpack(tmp_path / "x.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {name: ""}


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        info = tarfile.TarInfo("inner.zip")
        info.size = len(content := zip_bytes({"a": "x"}))
        packed.addfile(info, io.BytesIO(content))
    unpack(tmp_path / "x.tar", tmp_path / "out")
    assert (tmp_path / "out/inner.zip").read_bytes() == content


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_that_is_cut_or_damaged_leaves_no_folder(tmp_path, mode):
    whole = write_tar(tmp_path / "x.tar", TAR_FILES, mode).read_bytes()
    middle = len(whole) // 2
    for content in (whole[:middle], whole[:-4], whole[:middle] + b"\xff" * 20 + whole[middle + 20 :]):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(InputError, match=r"x\.tar is "):
            unpack(tmp_path / "x.tar", tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


LINK = tar_entry("a", tarfile.SYMTYPE, "d")
NO_PLACE = {
    "twice": [("a", "1"), ("a", "2")],
    "file before folder": [("a", "1"), ("a/b", "2")],
    "folder before file": [("a/b", "1"), ("a", "2")],
    "file through a link": [("d/f", "1"), LINK, ("a/evil", "2")],
    "file and link": [("d/f", "1"), LINK, ("a", "2")],
    "file and hard link": [("d", "1"), tar_entry("a", tarfile.LNKTYPE, "d"), ("a", "2")],
}


@pytest.mark.parametrize("entries", NO_PLACE.values(), ids=NO_PLACE)
def test_names_that_exclude_each_other_leave_no_folder(tmp_path, entries):
    with pytest.raises(InputError, match=r"x\.tar holds a, for which there is no place \("):
        unpack(write_tar(tmp_path / "x.tar", entries), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def changed_zip(old, new, count=-1, method=zipfile.ZIP_STORED):
    """A zip archive of ab, cd and ef with some bytes replaced."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name in ("ab", "cd", "ef"):
            packed.writestr(name, name * 100)
    content = stream.getvalue()
    assert old in content
    return content.replace(old, new, count)


def nameless_zip():
    entry = zipfile.ZipInfo("x")
    entry.filename = ""
    return zip_bytes({"good": "x", entry: "content"})


LIST = b"PK\x01\x02"
STORED, ENTRY_OF_CD = changed_zip(b"", b"", 0), changed_zip(b"", b"", 0).rindex(b"cd")
DAMAGED_ZIPS = {
    "no list": STORED[: STORED.index(LIST)],
    "cut in the list": STORED[:-30],
    "empty name": nameless_zip(),
    "NUL in a name": changed_zip(b"cd", b"c\0"),
    "list and data name another file": STORED[:ENTRY_OF_CD] + b"ce" + STORED[ENTRY_OF_CD + 2 :],
    "list has lost an entry": STORED[: ENTRY_OF_CD - 46 - 16] + bytes([48]) + STORED[ENTRY_OF_CD - 46 - 15 :],
    "another zip before it": STORED + STORED,
    "changed content": changed_zip(b"cdcdcd", b"cdcecd"),
    "changed bz2": changed_zip(b"1AY&SY", b"1AY&SX", method=zipfile.ZIP_BZIP2),
    "unknown method": changed_zip(LIST + b"\x14\x03\x14\0\0\0\0\0", LIST + b"\x14\x03\x14\0\0\0\x62\0"),
    "file in the place of the folder": zip_bytes({".": "x"}),
    "absolute": zip_bytes({"good": "x", "\\evil": "x"}),
    "name too long": zip_bytes({"n" * 300: "x"}),
    "folder with content": zip_bytes({"folder/": "x"}),
    "twice the same name": zip_bytes({"./a": "x", "a": "y"}),
}


@pytest.mark.parametrize("content", DAMAGED_ZIPS.values(), ids=DAMAGED_ZIPS)
def test_a_zip_that_is_damaged_or_has_no_proper_names_leaves_no_folder(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip "):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_methods_of_zip_are_unpacked(tmp_path, method):
    (tmp_path / "x.zip").write_bytes(changed_zip(b"", b"", 0, method))
    unpack(tmp_path / "x.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {name: name * 100 for name in ("ab", "cd", "ef")}


def test_a_folder_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(InputError, match=r"out exists already and is not empty"):
        unpack(pack(tmp_path, "zip"), tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": "mine"}


def test_a_disk_that_fills_up_is_reported_with_the_folder(tmp_path, monkeypatch):
    def full(chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Progress, "advance", lambda *arguments: full(arguments))
    with pytest.raises(OSError, match="No space left") as raised:
        unpack(pack(tmp_path, "zip"), tmp_path / "out")
    assert raised.value.filename == str(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_file_that_is_no_archive_is_reported(tmp_path):
    (tmp_path / "x.zip").write_text("text")
    with pytest.raises(InputError, match=r"x\.zip is neither a zip nor a tar archive"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
