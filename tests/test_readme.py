"""What README.md and docs/ show: their programs run, their notebook runs, the files that they name exist."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
NOTEBOOK = ROOT / "examples/predictor.ipynb"
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
FILE = re.compile(r"(?<![\w./<>*-])((?:[\w-]+/)*[\w-]+\.py)(?![\w/*])")
FOLDER = re.compile(rf"`((?:{'|'.join(sorted(PACKAGES))}|docs|examples|saves)/(?:\w+/)*)`")
# What a page tells its reader to write, and commands of other projects.
NOT_OURS = {
    *("model/tiny.py", "model.tiny", "main_pretrain.py", "train_dropseg.py"),
    *("MOSEv2/sam2_rcms/tools/score.py", "sav_dataset/utils/sav_benchmark.py"),
}


def program(page):
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return text


def test_the_first_program_of_the_readme_runs_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 8:40] = 5
    names = {"first_frame": frames[0], "mask": mask, "frames": frames[1:]}
    exec(program("README.md").replace("path/to/this/folder", str(ROOT)), names)
    assert names["ids"].shape == mask.shape and names["ids"].dtype == mask.dtype
    assert names["predictor"].objects == (5,) and set(names["predictor"].quality) == {5}


def test_the_program_of_the_core_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    frames = torch.randn(3, 3, 64, 96)
    masks = torch.zeros(2, 64, 96)
    masks[0, :20], masks[1, 40:] = 1, 1
    given = {"frames": frames, "first_masks": masks, "masks": masks, "new_mask": torch.zeros(1, 64, 96)}
    names = {**given, "image0": frames[0], "image1": frames[1]}
    exec(program("docs/inference.md"), names)
    assert len(capsys.readouterr().out.splitlines()) == len(frames)
    assert names["core"].objects == (9, 12)


def test_the_notebook_runs_and_holds_its_pictures(monkeypatch):
    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setattr(pyplot, "show", lambda: pyplot.close("all"))
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    source = "".join(line for cell in cells for line in [*cell["source"], "\n"] if not line.startswith("%"))
    few = re.sub(r"^FRAMES = \d+$", "FRAMES = 3", source, flags=re.MULTILINE)
    shorter = re.sub(r'qdmn_small.pth"[^)]*\)', 'qdmn_small.pth", size=96)', few)
    assert "FRAMES = 3" in shorter and "size=96" in shorter
    names = {}
    exec(shorter, names)
    assert len(names["masks"]) == len(names["corrected"]) == 3
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) >= 4
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert NOTEBOOK.stat().st_size < 600_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_exist(page):
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    for name in sorted(set(FILE.findall(text)) - NOT_OURS):
        missing += [] if (ROOT / name).is_file() or (ROOT / "scripts" / name).is_file() else [name]
    missing += [folder for folder in set(FOLDER.findall(text)) if not (ROOT / folder).is_dir()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_modules_and_functions_that_a_page_names_exist(page):
    text = page.read_text()
    dotted = set(re.findall(r"`((?:\w+\.)+\w+)`", text)) | set(re.findall(r"^from ([\w.]+) import", text, re.MULTILINE))
    missing = []
    for name in sorted(
        name for name in dotted - NOT_OURS if name.split(".")[0] in PACKAGES and not FILE.fullmatch(name)
    ):
        place, last = ROOT.joinpath(*name.split(".")[:-1]), name.split(".")[-1]
        sources = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
        is_module = (place / f"{last}.py").is_file() or (place / last).is_dir()
        if not is_module and not any(re.search(rf"\b{last}\b", source.read_text()) for source in sources):
            missing.append(name)
    assert missing == []
