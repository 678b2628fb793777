"""Fetching files."""

import errno
import gzip
import hashlib
import os
import shutil
from collections import namedtuple
from pathlib import Path

import gdown
import pytest
import requests

from scripts.download import fetch as download
from scripts.download.fetch import RemoteFile, fetch
from tests.helpers.file_server import serving, zip_bytes
from util.errors import InputError

CONTENT = zip_bytes({"a/b.txt": bytes(range(256)) * 20})
PAGE = b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "x.zip").write_bytes(CONTENT)
    with serving(folder) as running:
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "here/x.zip"


def remote(server, **known):
    return RemoteFile(f"{server.address}/x.zip", **known)


def begun(target, content, tag='"1"'):
    target.parent.mkdir()
    (target.parent / "x.zip.part").write_bytes(content)
    (target.parent / "x.zip.part.tag").write_text(tag)


def files_beside(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server, target, capsys):
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert files_beside(target) == ["x.zip"]
    assert digest in capsys.readouterr().out


def test_a_file_that_is_there_is_not_fetched(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    fetch(remote(server, sha256=hashlib.sha256(CONTENT).hexdigest()), target)
    assert server.requests == []


@pytest.mark.parametrize("content", [PAGE, CONTENT[:-30], b""], ids=["page", "truncated", "empty"])
def test_a_bad_file_that_is_there_is_reported_and_kept(server, target, content):
    target.parent.mkdir()
    target.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip is .*remove it"):
        fetch(remote(server), target)
    assert target.read_bytes() == content


def test_a_broken_transfer_goes_on_where_it_stopped(server, target):
    server.break_after = [1000, 2000]
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=1000-", "bytes=3000-"]


def test_a_later_run_goes_on_where_the_earlier_one_gave_up(server, target):
    server.break_after = [700] + [0] * download.ATTEMPTS
    with pytest.raises(InputError, match="run the same command again"):
        fetch(remote(server), target)
    assert (target.parent / "x.zip.part").read_bytes() == CONTENT[:700]
    server.break_after, server.requests = [], []
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert server.requests == [("x.zip", "bytes=700-")]


def test_a_complete_partial_file_is_taken(server, target):
    begun(target, CONTENT)
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_partial_file_of_something_longer_is_dropped(server, target):
    begun(target, CONTENT + b"more")
    assert fetch(remote(server), target).read_bytes() == CONTENT


def test_a_partial_file_of_somebody_else_is_kept(server, target):
    target.parent.mkdir()
    (target.parent / "x.zip.part").write_bytes(CONTENT[:100])
    with pytest.raises(InputError, match=r"x\.zip\.part is not known as written by this project"):
        fetch(remote(server), target)
    assert files_beside(target) == ["x.zip.part"]
    assert (target.parent / "x.zip.part").read_bytes() == CONTENT[:100]


def test_a_partial_file_of_an_unknown_version_is_begun_anew(server, target):
    server.tag, server.break_after = "", [1000]
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, None]


def test_a_rest_that_comes_in_portions_is_fetched_whole(server, target):
    server.break_after, server.portion = [1000], 1500
    assert fetch(remote(server), target).read_bytes() == CONTENT


def test_the_rest_of_another_version_is_not_added(server, target):
    server.compares = False
    begun(target, CONTENT[:1000], '"0"')
    assert fetch(remote(server), target).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("address", ["http://[", "http://x:99999", "http://x..y", "http://\u2024/"])
def test_an_address_that_nobody_can_ask_is_reported(target, address):
    with pytest.raises(InputError, match=r"x\.zip"):
        fetch(RemoteFile(f"{address}/x.zip"), target)


def test_a_redirection_in_a_circle_is_reported_in_one_line(server, target):
    server.codes = [302] * 100
    with pytest.raises(InputError, match=r"x\.zip cannot be fetched \(.* redirects") as raised:
        fetch(remote(server), target)
    assert "\n" not in str(raised.value)


def test_a_disk_that_fills_up_is_reported_with_the_file(server, target, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        fetch(remote(server), target)
    assert raised.value.filename == f"{target}.part"


def test_a_folder_in_the_place_of_the_file_is_kept(server, target):
    target.mkdir(parents=True)
    with pytest.raises(InputError, match=r"x\.zip exists and is no file"):
        fetch(remote(server), target)
    assert target.is_dir() and server.requests == []


def test_a_server_without_ranges_sends_everything_again(server, target):
    server.ranges, server.break_after = False, [1000]
    assert fetch(remote(server), target).read_bytes() == CONTENT


def test_a_file_that_changes_on_the_server_is_not_mixed_with_the_old_one(server, target):
    server.break_after = [1000] + [0] * download.ATTEMPTS
    with pytest.raises(InputError):
        fetch(remote(server), target)
    changed = zip_bytes({"other.txt": b"other" * 900})
    (server.folder / "x.zip").write_bytes(changed)
    server.tag, server.break_after = '"2"', []
    assert fetch(remote(server), target).read_bytes() == changed


def test_a_server_that_does_not_say_how_long_a_file_is_may_send_it(server, target):
    server.announces = False
    assert fetch(remote(server), target).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, target):
    server.codes = [503, 429]
    assert fetch(remote(server), target).read_bytes() == CONTENT


def test_a_missing_file_is_reported_at_once(server, target):
    with pytest.raises(InputError, match=r"y\.zip cannot be fetched \(404"):
        fetch(RemoteFile(f"{server.address}/y.zip"), target)
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_reported(target, tmp_path):
    with serving(tmp_path) as gone:
        address = gone.address
    with pytest.raises(InputError, match="broke off 5 times"):
        fetch(RemoteFile(f"{address}/x.zip"), target)


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"size": len(CONTENT) + 1}], ids=["sha256", "size"])
def test_a_file_other_than_the_known_one_is_removed(server, target, known):
    with pytest.raises(InputError, match=r"x\.zip from http.*removed"):
        fetch(remote(server, **known), target)
    assert files_beside(target) == []


@pytest.mark.parametrize("content", [CONTENT[:-30], gzip.compress(CONTENT)[:12]], ids=["zip", "tar.gz"])
def test_a_file_that_is_no_archive_is_removed(server, target, content):
    (server.folder / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match="incomplete or not the file"):
        fetch(remote(server), target)
    assert files_beside(target) == []


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_instead_of_the_file_says_what_to_do(server, target, content_type):
    server.content_type = content_type
    (server.folder / "x.zip").write_bytes(PAGE)
    with pytest.raises(InputError) as raised:
        fetch(remote(server), target)
    message = str(raised.value)
    assert "sent a page instead of the file" in message
    assert f"browser from {server.address}/x.zip, put it at {target} and run the same command again" in message
    assert files_beside(target) == []


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(server, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, len(CONTENT) * 3 // 2))
    with pytest.raises(InputError, match=r"fetching and unpacking x\.zip needs 10\.5 kB .* only 7\.8 kB are free"):
        fetch(remote(server), target, unpacks=True)
    assert files_beside(target) == []
    assert fetch(remote(server), target).is_file()


def test_the_rough_size_is_checked_before_google_drive_is_asked(target, monkeypatch):
    monkeypatch.setattr(gdown, "download", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 10**9))
    with pytest.raises(InputError, match=r"2\.0 GB .* only 1\.0 GB"):
        fetch(RemoteFile("https://drive", "id", rough_size=2 * 10**9), target)


def test_google_drive_is_asked_for_the_id_and_goes_on_after_a_break(target, monkeypatch):
    asked = []

    def from_drive(*, id, output, quiet, resume):
        asked.append((id, resume))
        if len(asked) == 1:
            raise requests.ConnectionError("reset")
        Path(output).write_bytes(CONTENT)
        return output

    monkeypatch.setattr(gdown, "download", from_drive)
    fetch(RemoteFile("https://drive/1abc", "1abc"), target)
    assert asked == [("1abc", True)] * 2
    assert target.read_bytes() == CONTENT
    assert files_beside(target) == ["x.zip"]


def test_a_used_up_quota_of_google_drive_says_what_to_do(target, monkeypatch):
    def refuse(**arguments):
        raise gdown.exceptions.FileURLRetrievalError("Too many users\n\nhave viewed it")

    monkeypatch.setattr(gdown, "download", refuse)
    with pytest.raises(InputError, match=r"https://drive/1abc sent a page .* put it at .*x\.zip"):
        fetch(RemoteFile("https://drive/1abc", "1abc"), target)


def test_google_drive_sending_nothing_is_reported(target, monkeypatch):
    monkeypatch.setattr(gdown, "download", lambda **arguments: None)
    with pytest.raises(InputError, match="gdown brought no file"):
        fetch(RemoteFile("https://drive/1abc", "1abc"), target)
