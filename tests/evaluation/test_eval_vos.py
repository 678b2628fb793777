"""eval_vos.py from made trees in the layouts of the sets to results, scores and archive, without a network."""

import json
import shutil
import sys
import zipfile

import numpy as np
import pytest

import eval_vos
from datasets.mask_files import read_ids, write_ids
from datasets.test.sets import SETS
from evaluation import cores
from scripts import burst_json, make_synthetic, masks_of_json
from tests.helpers.davis_trees import FAKE_NETWORK, FakeCore
from tests.helpers.failures import failure_line

FRAMES = 13
LAYOUTS = ("mose", "lvos", "long", "vost", "burst", "sav")
LAYOUT_OF = {"mose2": "mose", "lvos2": "lvos"}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A made tree in each layout, with objects that come late where the set has such."""
    root = tmp_path_factory.mktemp("sets")
    for layout in LAYOUTS:
        count = ["--videos", "2"] if layout in ("long", "sav") else ["--videos", "0", "--val", "2"]
        options = [*count, "--frames", str(FRAMES), "--size", "40", "56", "--objects", "2", "2", "--late", "0.9"]
        options += ["--clutter", "0"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                sys, "argv", ["x", "--output", str(root / layout), "--layout", layout, "--workers", "1", *options]
            )
            make_synthetic.main()
    burst = root / "burst"
    masks_of_json.main(
        [
            "--json",
            f"{burst}/annotations/val/all_classes.json",
            "--frames",
            f"{burst}/frames/val",
            "--output",
            f"{burst}/val-vos",
        ]
    )
    return root


@pytest.fixture
def copied(trees, tmp_path):
    """Makes a copy of a tree that a test may change."""
    return lambda name: shutil.copytree(trees / LAYOUT_OF.get(name, name), tmp_path / name)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(cores, "load_network", lambda path, device: FAKE_NETWORK)
    monkeypatch.setattr(eval_vos, "InferenceCoreYV", FakeCore)


def evaluate(name, root, output, *flags):
    options = ["--set", name, "--root", str(root), "--output", str(output), "--device", "cpu"]
    eval_vos.main([*options, *map(str, flags)])


def fail(capsys, name, root, tmp_path, *flags):
    return failure_line(capsys, lambda: evaluate(name, root, tmp_path / "out/none", *flags))


@pytest.mark.parametrize("name", SETS)
def test_a_set_goes_from_a_made_tree_to_scores_and_archive(trees, tmp_path, capsys, name):
    root, output = trees / LAYOUT_OF.get(name, name), tmp_path / "out" / name
    flags = ["--truth", root / "valid_truth"] if "mose" in name else []
    evaluate(name, root, output, "--score", "--zip", *flags)
    (table,) = output.with_name(f"{name}-scores").glob("global_results-*.csv")
    names = table.read_text().splitlines()[0].split(",")
    assert set(SETS[name].scoring.measures) <= set(names)
    with zipfile.ZipFile(output.with_suffix(".zip")) as archive:
        packed = archive.namelist()
    written = {path.relative_to(output).as_posix() for path in output.rglob("*.png")}
    assert set(packed) == written
    videos = {path.rpartition("/")[0] for path in packed}
    per_video = -(-FRAMES // 4) if name == "sav" else -(-FRAMES // 5) if name == "burst" else FRAMES
    assert len(packed) == per_video * len(videos)
    assert len(videos) == (4 if name == "sav" else 2)
    assert f"of its {next(iter(SETS[name].videos.values()))}" in capsys.readouterr().out


def test_late_objects_are_given_when_they_come_and_earlier_frames_are_empty(trees, tmp_path):
    evaluate("lvos2", trees / "lvos", tmp_path / "out")
    told = json.loads((trees / "lvos/valid/valid_meta.json").read_text())["videos"]
    late = 0
    for video, entry in told.items():
        for key, thing in entry["objects"].items():
            start = thing["frame_range"]["start"]
            late += start > 1
            shown = [k for k in range(FRAMES) if int(key) in read_ids(tmp_path / f"out/{video}/{1 + 5 * k:08d}.png")]
            assert shown and 1 + 5 * shown[0] == start
            first = read_ids(trees / f"lvos/valid/Annotations/{video}/{start:08d}.png")
            result = read_ids(tmp_path / f"out/{video}/{start:08d}.png")
            assert (first[result == int(key)] == int(key)).all()
    assert late


def test_without_the_meta_file_the_masks_tell_where_objects_begin(copied, tmp_path):
    root = copied("lvos")
    evaluate("lvos", root, tmp_path / "told")
    (root / "valid/valid_meta.json").unlink()
    evaluate("lvos", root, tmp_path / "looked")
    for path in (tmp_path / "told").rglob("*.png"):
        np.testing.assert_array_equal(
            read_ids(path), read_ids(tmp_path / "looked" / path.relative_to(tmp_path / "told"))
        )


def test_objects_that_overlap_are_segmented_by_themselves(trees, tmp_path):
    evaluate("sav", trees / "sav", tmp_path / "out", "--output_all")
    folders = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*/"))
    assert folders == [f"train0000{video}/00{k}" for video in range(2) for k in range(2)]
    for folder in folders:
        masks = [read_ids(path) for path in sorted((tmp_path / "out" / folder).glob("*.png"))]
        assert len(masks) == FRAMES and set(np.unique(masks)) == {0, 255}
        given = sorted((trees / "sav/sav_val/Annotations_6fps" / folder).glob("*.png"))
        first = next(number for number, path in enumerate(given) if read_ids(path).any())
        assert not any(mask.any() for mask in masks[: 4 * first]) and masks[4 * first].any()


def test_only_the_objects_of_the_first_mask_are_followed_where_a_set_has_no_late_ones(copied, tmp_path):
    root = copied("vost")
    path = next((root / "Annotations/val00000").iterdir()).parent / "00005.png"
    ids = read_ids(path)
    ids[:4, :4] = 9
    write_ids(path, ids)
    evaluate("vost", root, tmp_path / "out", "--score")
    assert all(9 not in read_ids(result) for result in (tmp_path / "out/val00000").glob("*.png"))


def test_finished_objects_are_skipped(trees, tmp_path, capsys):
    evaluate("sav", trees / "sav", tmp_path / "out")
    evaluate("sav", trees / "sav", tmp_path / "out")
    assert "4 finished videos skipped" in capsys.readouterr().out


def test_a_set_without_truth_is_sent_to_its_server(trees, tmp_path, capsys):
    assert "--zip" in fail(capsys, "mose2", trees / "mose", tmp_path, "--score")


def test_a_missing_root_is_named_with_the_set_and_where_it_comes_from(tmp_path, capsys):
    line = fail(capsys, "mose2", tmp_path / "none", tmp_path)
    assert "MOSE v2" in line and "mose.video" in line


def test_burst_as_it_is_published_is_to_be_made_folders_of(trees, tmp_path, capsys):
    line = fail(capsys, "burst", trees / "burst", tmp_path, "--split", "test-vos")
    assert "BURST" in line and "scripts/masks_of_json.py" in line


def test_results_of_burst_become_the_json_of_its_own_evaluation_and_back(trees, tmp_path, capsys):
    root, results = trees / "burst", tmp_path / "results"
    evaluate("burst", root, results)
    given = root / "annotations/val/all_classes.json"
    burst_json.main(["--json", str(given), "--results", str(results), "--output", str(tmp_path / "burst.json")])
    frames = ["--frames", str(root / "frames/val"), "--output", str(tmp_path / "back")]
    masks_of_json.main(["--json", str(tmp_path / "burst.json"), *frames])
    for path in results.rglob("*.png"):
        back = tmp_path / "back/Annotations" / path.relative_to(results)
        np.testing.assert_array_equal(read_ids(path), read_ids(back))
    (first, *_) = json.loads((tmp_path / "burst.json").read_text())["sequences"]
    assert len(first["segmentations"]) == len(first["annotated_image_paths"]) == -(-FRAMES // 5)
    next(results.rglob("*.png")).unlink()
    options = ["--json", str(given), "--results", str(results), "--output", str(tmp_path / "none.json")]
    assert "BURST" in failure_line(capsys, lambda: burst_json.main(options))
    assert not (tmp_path / "none.json").exists()


def test_where_objects_begin_is_looked_up_in_all_masks_only_with_a_word(copied, tmp_path, caplog):
    root = copied("lvos")
    evaluate("lvos", root, tmp_path / "a")
    assert "meta" not in caplog.text
    (root / "valid/valid_meta.json").unlink()
    evaluate("lvos", root, tmp_path / "b")
    assert "LVOS v1: valid/valid_meta.json is missing" in caplog.text


def test_results_of_another_program_are_scored(trees, tmp_path, capsys):
    evaluate("lvos", trees / "lvos", tmp_path / "ours", "--score")
    shutil.copytree(tmp_path / "ours", tmp_path / "theirs", ignore=shutil.ignore_patterns(".*"))
    evaluate("lvos", trees / "lvos", tmp_path / "none", "--results", tmp_path / "theirs")
    tables = [tmp_path / f"{name}-scores/global_results-valid.csv" for name in ("ours", "theirs")]
    assert tables[0].read_text() == tables[1].read_text()
    assert not (tmp_path / "none").exists()
    next((tmp_path / "theirs/val00001").glob("*.png")).unlink()
    line = fail(capsys, "lvos", trees / "lvos", tmp_path, "--results", tmp_path / "theirs")
    assert "val00001" in line and "missing" in line


@pytest.mark.parametrize(("asked", "there"), [("mose2", "vost"), ("vost", "sav"), ("lvos2", "sav"), ("sav", "vost")])
def test_the_layout_of_another_set_is_recognised(trees, tmp_path, capsys, asked, there):
    line = fail(capsys, asked, trees / there, tmp_path)
    assert SETS[asked].title in line and f"--set {there}" in line


def test_another_version_is_recognised_by_its_number_of_videos(copied, tmp_path, capsys):
    root = copied("lvos")
    for kind in ("JPEGImages", "Annotations"):
        for number in range(2, 50):
            (root / f"valid/{kind}/more{number}").symlink_to(root / f"valid/{kind}/val00000")
    line = fail(capsys, "lvos2", root, tmp_path)
    assert "LVOS v2" in line and "--set lvos" in line and "50" in line


@pytest.mark.parametrize("name", ["mose", "lvos2", "vost"])
@pytest.mark.parametrize("kind", ["JPEGImages", "Annotations"])
def test_a_video_that_is_half_there_is_named(copied, tmp_path, capsys, name, kind):
    root = copied(name)
    (folder,) = [path for path in root.rglob("val00001") if path.parent.name == kind]
    folder.rename(root / "elsewhere")
    line = fail(capsys, name, root, tmp_path)
    assert SETS[name].title in line and "val00001" in line and "--list" in line
    listed = tmp_path / "list.txt"
    listed.write_text("val00000\n")
    evaluate(name, root, tmp_path / "part", "--list", listed)
    assert (tmp_path / "part/val00000").is_dir()


def test_frames_that_stop_early_are_noticed(copied, tmp_path, capsys):
    root = copied("vost")
    for number in range(10, FRAMES):
        (root / f"JPEGImages/val00000/{number:05d}.jpg").unlink()
    line = fail(capsys, "vost", root, tmp_path)
    assert "VOST" in line and "00010.png (and 2 more) has no frame" in line


def test_a_list_that_names_a_missing_video_is_refused(copied, tmp_path, capsys):
    root = copied("vost")
    (root / "ImageSets/val.txt").write_text("val00000\n7550_mould_clay\n")
    line = fail(capsys, "vost", root, tmp_path)
    assert "VOST" in line and "7550_mould_clay" in line and "vostdataset.org" in line


def test_masks_that_begin_late_are_refused_where_the_set_gives_all_objects_at_first(copied, tmp_path, capsys):
    root = copied("vost")
    (root / "Annotations/val00001/00000.png").unlink()
    line = fail(capsys, "vost", root, tmp_path)
    assert "VOST" in line and "begin late, with 00001" in line and "eval_generic.py" in line


def test_a_meta_file_of_another_version_is_refused(copied, tmp_path, capsys):
    root = copied("lvos")
    path = root / "valid/valid_meta.json"
    content = json.loads(path.read_text())
    content["videos"]["val00000"]["objects"]["2"]["frame_range"]["start"] = 3
    path.write_text(json.dumps(content))
    line = fail(capsys, "lvos", root, tmp_path)
    assert "LVOS v1" in line and "object 2 of video val00000" in line


def test_sa_v_without_folders_of_objects_is_refused(copied, tmp_path, capsys):
    root = copied("sav")
    folder = root / "sav_val/Annotations_6fps/train00000"
    for part in list(folder.iterdir()):
        for path in part.iterdir():
            path.replace(folder / path.name)
        part.rmdir()
    assert "no folder of masks for each object" in fail(capsys, "sav", root, tmp_path)


def test_a_part_that_the_set_has_not_is_refused(trees, capsys):
    with pytest.raises(SystemExit):
        evaluate("vost", trees / "vost", "out", "--split", "valid")
    assert "VOST; it has val" in capsys.readouterr().err
