"""The commands that download data sets and weights."""

import io
import shutil
import sys
import tarfile
import zipfile
from collections import namedtuple

import gdown
import numpy as np
import pytest
from PIL import Image

from scripts import download_bl30k, download_datasets, download_model
from scripts.download import fetch as download
from scripts.download.sources import BL30K, GROUPS, MODELS
from tests.helpers.file_server import serving, zip_bytes
from util.errors import InputError

Usage = namedtuple("Usage", "total used free")


def encoded(mode, form, width=1280, height=720):
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width), 3, np.uint8)).convert(mode).save(stream, form)
    return stream.getvalue()


FRAME, MASK = encoded("RGB", "JPEG"), encoded("L", "PNG")


def video_tree(folder, video):
    return {f"{folder}/JPEGImages/{video}/00000.jpg": FRAME, f"{folder}/Annotations/{video}/00000.png": MASK}


NO_VIDEOS = '{"videos": {}}'
ARCHIVES = {
    "static_data.zip": {
        "fss/ab/1.jpg": "x",
        "fss/ab/1.png": "x",
        "DUTS-TR/a.jpg": "x",
        "DUTS-TR/a.png": "x",
        "__MACOSX/DUTS-TR/._a.jpg": "x",
    },
    "DAVIS-data.zip": video_tree("DAVIS", "480p/bear"),
    "DAVIS-2017-trainval-480p.zip": {**video_tree("DAVIS", "480p/bear"), "DAVIS/ImageSets/2017/train.txt": "bear"},
    "DAVIS-2017-scribbles-trainval.zip": {"DAVIS/Scribbles/bear/001.json": "{}", "DAVIS/README.md": "other"},
    "DAVIS-2017-test-dev-480p.zip": {**video_tree("DAVIS", "480p/dog"), "DAVIS/ImageSets/2017/test-dev.txt": "dog"},
    "YouTube-2019-train.zip": {**video_tree("train", "0a"), "train/meta.json": NO_VIDEOS},
    "YouTube-2019-valid.zip": {**video_tree("valid", "1b"), "valid/meta.json": NO_VIDEOS},
    "YouTube-2019-valid-all-frames.zip": {"valid_all_frames/JPEGImages/1b/00000.jpg": FRAME},
    "YouTube-2018-valid.zip": video_tree("valid", "2c"),
    "YouTube-2018-valid-all-frames.zip": {"valid_all_frames/JPEGImages/2c/00000.jpg": FRAME},
    **{
        f"LVOS-{version}-{part}.zip": video_tree(top, part)
        for version in ("v1", "v2")
        for part, top in (("train", "train"), ("valid", "LVOS/val"), ("test", "a/b"))
    },
    "LongTimeVideo.zip": {**video_tree("long_video", "rat"), **video_tree("long_video_x3", "rat")},
    "VOST.zip": {**video_tree("VOST", "egg"), "VOST/ImageSets/val.txt": "egg", "README": "x"},
    "BURST-annotations.zip": {"b/val/all_classes.json": "{}", "b/info/categories.json": "[]"},
    "OVIS-VOS-train.zip": {name.removeprefix("./"): content for name, content in video_tree(".", "0f").items()},
}

LAYOUT = {
    "static/fss/ab/1.jpg",
    "static/fss/ab/1.png",
    "static/DUTS-TR/a.jpg",
    "static/DUTS-TR/a.png",
    "DAVIS/2016/JPEGImages/480p/bear/00000.jpg",
    "DAVIS/2016/Annotations/480p/bear/00000.png",
    "DAVIS/2017/trainval/JPEGImages/480p/bear/00000.jpg",
    "DAVIS/2017/trainval/Annotations/480p/bear/00000.png",
    "DAVIS/2017/trainval/ImageSets/2017/train.txt",
    "DAVIS/2017/trainval/Scribbles/bear/001.json",
    "DAVIS/2017/test-dev/JPEGImages/480p/dog/00000.jpg",
    "DAVIS/2017/test-dev/Annotations/480p/dog/00000.png",
    "DAVIS/2017/test-dev/ImageSets/2017/test-dev.txt",
    "YouTube/train/JPEGImages/0a/00000.jpg",
    "YouTube/train/Annotations/0a/00000.png",
    "YouTube/train/meta.json",
    "YouTube/train_480p/JPEGImages/0a/00000.jpg",
    "YouTube/train_480p/Annotations/0a/00000.png",
    "YouTube/valid/JPEGImages/1b/00000.jpg",
    "YouTube/valid/Annotations/1b/00000.png",
    "YouTube/valid/meta.json",
    "YouTube/all_frames/valid_all_frames/JPEGImages/1b/00000.jpg",
    "YouTube2018/valid/JPEGImages/2c/00000.jpg",
    "YouTube2018/valid/Annotations/2c/00000.png",
    "YouTube2018/all_frames/valid_all_frames/JPEGImages/2c/00000.jpg",
    *(
        f"{place}/{name}"
        for place, video in (
            *((f"{root}/{part}", part) for root in ("LVOS", "LVOSv2") for part in ("train", "valid", "test")),
            ("long_video_set/long_video", "rat"),
            ("long_video_set/long_video_x3", "rat"),
            ("VOST", "egg"),
            ("OVIS/train-vos", "0f"),
        )
        for name in (f"JPEGImages/{video}/00000.jpg", f"Annotations/{video}/00000.png")
    ),
    "VOST/ImageSets/val.txt",
    "BURST/annotations/val/all_classes.json",
    "BURST/annotations/info/categories.json",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(gdown, "download", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 10**15))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, files in ARCHIVES.items():
        (folder / name).write_bytes(zip_bytes(files))
    with serving(folder) as server:
        yield server


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def run(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    script.main()


def get(monkeypatch, mirror, root, *arguments):
    options = ("--root", root, "--mirror", f"{mirror.address}/", "--yes", "--workers", 1)
    run(monkeypatch, download_datasets, *options, *arguments)


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def folders(root):
    return {path.name for path in root.rglob("*") if path.is_dir()}


def test_everything_comes_in_the_layout_that_training_reads(mirror, root, monkeypatch, capsys):
    get(monkeypatch, mirror, root, "--all")
    assert files(root) == LAYOUT
    assert {path.name for path in root.iterdir()} == {name.partition("/")[0] for name in LAYOUT}
    assert sorted(mirror.fetched) == sorted(ARCHIVES)
    assert Image.open(root / "YouTube/train_480p/JPEGImages/0a/00000.jpg").size == (853, 480)
    shown = capsys.readouterr().out
    assert all(page in shown for page in ("saliencydetection.net/duts", "davischallenge.org", "youtube-vos.org"))


def test_a_second_run_fetches_nothing(mirror, root, monkeypatch, capsys):
    get(monkeypatch, mirror, root, "--all")
    fetched = len(mirror.requests)
    capsys.readouterr()
    get(monkeypatch, mirror, root, "--all")
    assert len(mirror.requests) == fetched
    assert files(root) == LAYOUT
    shown = capsys.readouterr().out
    assert "DAVIS 2016: there already" in shown and "licences" not in shown


def test_a_train_set_that_was_removed_after_resizing_is_not_fetched_again(mirror, root, monkeypatch):
    get(monkeypatch, mirror, root, "--youtube")
    shutil.rmtree(root / "YouTube/train")
    mirror.requests.clear()
    get(monkeypatch, mirror, root, "--youtube")
    assert mirror.requests == []


def test_only_what_is_asked_for_comes(mirror, root, monkeypatch):
    get(monkeypatch, mirror, root, "--youtube", "--no_resize")
    wanted = {name for name in LAYOUT if name.startswith("YouTube/") and "480p" not in name}
    assert files(root) == wanted


def test_a_run_that_failed_in_the_middle_goes_on(mirror, root, monkeypatch):
    (mirror.folder / "DAVIS-2017-trainval-480p.zip").rename(mirror.folder / "away")
    with pytest.raises(InputError, match="404"):
        get(monkeypatch, mirror, root, "--davis")
    (mirror.folder / "away").rename(mirror.folder / "DAVIS-2017-trainval-480p.zip")
    get(monkeypatch, mirror, root, "--davis")
    assert files(root) == {name for name in LAYOUT if name.startswith("DAVIS/")}
    assert mirror.fetched.count("DAVIS-data.zip") == 1


def test_an_archive_that_the_user_fetched_is_used_and_stays(mirror, root, monkeypatch, capsys):
    (root / "archives").mkdir(parents=True)
    shutil.move(mirror.folder / "static_data.zip", root / "archives/static_data.zip")
    get(monkeypatch, mirror, root, "--static")
    assert files(root) == {name for name in LAYOUT if name.startswith("static/")} | {"archives/static_data.zip"}
    assert mirror.requests == []
    assert "static_data.zip was not fetched by this command, so it stays" in capsys.readouterr().out


def test_an_archive_that_an_interrupted_run_fetched_goes_once_it_is_unpacked(mirror, root, monkeypatch):
    get(monkeypatch, mirror, root, "--static", "--keep_archives")
    shutil.rmtree(root / "static")
    get(monkeypatch, mirror, root, "--static")
    assert files(root) == {name for name in LAYOUT if name.startswith("static/")}
    assert mirror.fetched == ["static_data.zip"]


META = b'{"videos": {"0a": {"objects": {"1": {"frames": ["00000", "00005"]}}}}}'
LISTED = b"bear\ndog\n"
LOST = {
    "a frame of meta.json": ("YouTube-2019-train.zip", {**video_tree("train", "0a"), "train/meta.json": META}),
    "a meta.json that can be read": (
        "YouTube-2019-train.zip",
        {**video_tree("train", "0a"), "train/meta.json": b"[" * 100_000},
    ),
    "a video of a list": (
        "DAVIS-2017-trainval-480p.zip",
        {**video_tree("DAVIS", "480p/bear"), "DAVIS/ImageSets/2017/val.txt": LISTED},
    ),
    "the frames of masks": (
        "YouTube-2019-train.zip",
        {**video_tree("train", "0a"), "train/Annotations/0b/00000.png": MASK},
    ),
}


@pytest.mark.parametrize("archive, content", LOST.values(), ids=LOST)
def test_an_archive_without_what_it_declares_is_kept_and_not_unpacked(mirror, root, monkeypatch, archive, content):
    (mirror.folder / archive).write_bytes(zip_bytes(content))
    with pytest.raises(InputError, match=r"archive .* lacks .*, so nothing was unpacked"):
        get(monkeypatch, mirror, root, "--youtube" if "YouTube" in archive else "--davis", "--no_resize")
    assert (root / "archives" / archive).read_bytes() == (mirror.folder / archive).read_bytes()
    assert not (root / "YouTube/train").exists() and not (root / "DAVIS/2017/trainval").exists()


def test_a_list_of_another_archive_declares_nothing(mirror, root, monkeypatch):
    content = {**ARCHIVES["DAVIS-2017-trainval-480p.zip"], "DAVIS/ImageSets/2017/test-dev.txt": "dog"}
    (mirror.folder / "DAVIS-2017-trainval-480p.zip").write_bytes(zip_bytes(content))
    get(monkeypatch, mirror, root, "--davis")
    assert (root / "DAVIS/2017/trainval/ImageSets").is_dir()


def test_an_archive_without_the_folder_that_tells_where_the_set_lies_is_named(mirror, root, monkeypatch):
    (mirror.folder / "VOST.zip").write_bytes(zip_bytes({"VOST/frames/egg/00000.jpg": FRAME}))
    with pytest.raises(InputError, match=r"VOST\.zip holds no folder JPEGImages"):
        get(monkeypatch, mirror, root, "--vost")
    assert not (root / "VOST").exists()


def test_archives_stay_on_request(mirror, root, monkeypatch):
    get(monkeypatch, mirror, root, "--static", "--keep_archives")
    assert (root / "archives/static_data.zip").is_file()


def test_an_archive_of_another_content_is_kept_and_named(mirror, root, monkeypatch):
    (mirror.folder / "DAVIS-data.zip").write_bytes(zip_bytes({"Davis/a": "x"}))
    with pytest.raises(InputError, match=r"archives/DAVIS-data\.zip holds nothing in a folder DAVIS"):
        get(monkeypatch, mirror, root, "--davis")
    assert files(root) == {"archives/.vos-files", "archives/DAVIS-data.zip"}


class Keyboard(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_declined_licences_end_the_run_before_any_download(mirror, root, monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    with pytest.raises(InputError, match="not accepted, so nothing was downloaded"):
        run(monkeypatch, download_datasets, "--static", "--root", root, "--mirror", mirror.address)
    assert mirror.requests == []
    assert not root.exists()


def test_accepted_licences_start_the_download(mirror, root, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    run(monkeypatch, download_datasets, "--static", "--root", root, "--mirror", mirror.address)
    assert (root / "static/DUTS-TR/a.jpg").is_file()


def test_without_a_terminal_the_licences_need_the_option(mirror, root, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(InputError, match="pass --yes"):
        run(monkeypatch, download_datasets, "--static", "--root", root, "--mirror", mirror.address)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "say what to download: --static, --davis, --youtube, --youtube2018, --lvos, "),
        (["--all", "--yes", "--mirror", "files.example.org"], "begins with http"),
    ],
)
def test_arguments_that_make_no_sense_are_reported(root, monkeypatch, arguments, message):
    with pytest.raises(InputError, match=message):
        run(monkeypatch, download_datasets, "--root", root, *arguments)


def write_bl30k(folder, part, top):
    with tarfile.open(folder / f"BL30K_{part}.tar", "w") as packed:
        for name in (f"{top}JPEGImages/{part}00/00000.jpg", f"{top}Annotations/{part}00/00000.png"):
            info = tarfile.TarInfo(name)
            info.size = 1
            packed.addfile(info, io.BytesIO(b"x"))


def bl30k_videos(*parts):
    return {f"{kind}/{part}00/00000.{end}" for part in parts for kind, end in KINDS}


KINDS = (("JPEGImages", "jpg"), ("Annotations", "png"))


def get_bl30k(monkeypatch, mirror, root, *parts):
    run(monkeypatch, download_bl30k, "--parts", *parts, "--root", root, "--mirror", mirror.address, "--yes")


def test_the_parts_of_bl30k_come_together(mirror, root, monkeypatch, capsys):
    for part, top in zip("abc", ("", "BL30K_b/", "x/BL30K/"), strict=True):
        write_bl30k(mirror.folder, part, top)
    get_bl30k(monkeypatch, mirror, root, "a", "b")
    get_bl30k(monkeypatch, mirror, root, "a", "b", "c")
    videos = {name for name in files(root / "BL30K") if not name.endswith(".done")}
    assert videos == bl30k_videos("a", "b", "c")
    assert mirror.fetched == ["BL30K_a.tar", "BL30K_b.tar", "BL30K_c.tar"]
    assert folders(root) == {"BL30K", "JPEGImages", "Annotations", "a00", "b00", "c00"}
    assert "not for commercial use" in capsys.readouterr().out


def test_a_part_of_bl30k_with_fewer_masks_than_frames_is_kept_and_not_merged(mirror, root, monkeypatch):
    write_bl30k(mirror.folder, "a", "")
    with tarfile.open(mirror.folder / "BL30K_a.tar", "a") as packed:
        packed.addfile(tarfile.TarInfo("JPEGImages/a00/00001.jpg"))
    with pytest.raises(InputError, match="lacks masks of video a00, of which it has 2 frames and 1 masks"):
        get_bl30k(monkeypatch, mirror, root, "a")
    assert (root / "archives/BL30K_a.tar").is_file()
    assert list((root / "BL30K").iterdir()) == []


def test_a_damaged_part_of_bl30k_is_kept_and_not_merged(mirror, root, monkeypatch):
    write_bl30k(mirror.folder, "a", "")
    content = bytearray((mirror.folder / "BL30K_a.tar").read_bytes())
    content[2 * tarfile.BLOCKSIZE] ^= 1
    (mirror.folder / "BL30K_a.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"BL30K_a\.tar is damaged"):
        get_bl30k(monkeypatch, mirror, root, "a")
    assert (root / "archives/BL30K_a.tar").read_bytes() == content
    assert not (root / "BL30K").exists()


def test_an_interrupted_merge_of_bl30k_goes_on_without_a_download(mirror, root, monkeypatch):
    write_bl30k(mirror.folder, "a", "")
    (root / "BL30K/Annotations").mkdir(parents=True)
    (root / "BL30K/.BL30K_a/Annotations").mkdir(parents=True)
    (root / "BL30K/.BL30K_a/JPEGImages/a00").mkdir(parents=True)
    (root / "BL30K/.BL30K_a/JPEGImages/a00/00000.jpg").touch()
    get_bl30k(monkeypatch, mirror, root, "a")
    assert (root / "BL30K/JPEGImages/a00/00000.jpg").is_file()
    assert mirror.requests == []


def test_a_disk_too_small_for_a_part_of_bl30k_is_found_first(root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 200 * 10**9))
    with pytest.raises(InputError, match=r"BL30K_c\.tar needs 230\.0 GB .* only 200\.0 GB are free"):
        run(monkeypatch, download_bl30k, "--parts", "c", "--root", root, "--yes")


WEIGHTS = {"weights in a zip": zip_bytes({"archive/data.pkl": "x"}), "old pickle": b"\x80\x02weights"}


@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_are_saved_once(mirror, tmp_path, monkeypatch, capsys, content):
    (mirror.folder / "QDMN.pth").write_bytes(content)
    for _ in range(2):
        run(monkeypatch, download_model, "qdmn", "--output", tmp_path / "saves", "--mirror", mirror.address)
    assert (tmp_path / "saves/QDMN.pth").read_bytes() == content
    assert mirror.fetched == ["QDMN.pth"]
    assert "saved" in capsys.readouterr().out


def test_weights_come_from_google_drive_by_their_id(tmp_path, monkeypatch):
    asked = {}

    def from_drive(*, id, output, **options):
        asked[id] = output
        with zipfile.ZipFile(output, "w") as packed:
            packed.writestr("data.pkl", "x")
        return output

    monkeypatch.setattr(gdown, "download", from_drive)
    run(monkeypatch, download_model, "stcn", "--output", tmp_path)
    assert list(asked) == ["1mRrE0uCI2ktdWlUgapJI_KmgeIiF2eOm"]
    assert [path.name for path in tmp_path.iterdir()] == ["stcn.pth"]


def test_no_two_downloads_share_a_file_an_id_or_a_folder():
    every = [*(part for group in GROUPS.values() for part in group), *BL30K.values(), *MODELS.values()]
    unpacked = [part.folder for part in every if part.folder and not part.merged]
    for values in ([part.file_name for part in every], [part.drive_id or part.link for part in every], unpacked):
        assert len(set(values)) == len(values)
