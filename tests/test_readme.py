"""The code in README.md runs."""

import re
from pathlib import Path

import torch

README = Path(__file__).parents[1] / "README.md"


def test_the_example_of_a_program_runs(monkeypatch, capsys):
    monkeypatch.chdir(README.parent)
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    frames = torch.randn(3, 3, 64, 96)
    masks = torch.zeros(2, 64, 96)
    masks[0, :20], masks[1, 40:] = 1, 1
    given = {"frames": frames, "first_masks": masks, "masks": masks, "new_mask": torch.zeros(1, 64, 96)}
    names = {**given, "image0": frames[0], "image1": frames[1]}
    exec(program, names)
    assert len(capsys.readouterr().out.splitlines()) == len(frames)
    assert names["core"].objects == (9, 12)
