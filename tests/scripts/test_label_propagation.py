"""The baseline that carries labels on by likeness."""

import pytest
import torch
from torch import nn

from model.layers.resnet import ResNetEncoder
from scripts.label_propagation import LabelPropagation, main
from tests.helpers.davis_trees import make_davis_2016
from util.errors import InputError


class Patches(nn.Module):
    """Each cell's feature is its mean colour."""

    def forward(self, image):
        return [nn.functional.avg_pool2d(image, 16)]


def scene(column):
    """A red square of two cells on green, with a blue one that never moves."""
    image = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1).expand(3, 96, 160).clone()
    image[:, 32:64, column : column + 32] = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    image[:, 32:64, 128:160] = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    return image


def test_labels_follow_their_colours():
    core = LabelPropagation(Patches(), top_k=3)
    mask = torch.zeros(1, 96, 160)
    mask[:, 32:64, :32] = 1
    core.step(scene(0), mask)
    for column in (16, 32, 48):
        probabilities = core.step(scene(column))
        assert probabilities.shape == (2, 96, 160)
        found = probabilities.argmax(0).bool()
        truth = torch.zeros(96, 160, dtype=torch.bool)
        truth[32:64, column : column + 32] = True
        assert (found & truth).sum() > 0.7 * (found | truth).sum()


def test_cells_beyond_the_radius_do_not_count():
    core = LabelPropagation(Patches(), top_k=3, radius=2)
    mask = torch.zeros(1, 96, 160)
    mask[:, 32:64, :32] = 1
    core.step(scene(0), mask)
    assert not core.step(scene(96)).argmax(0)[:, 96:].any()


def test_the_script_writes_and_scores_masks(tmp_path, capsys):
    torch.save(ResNetEncoder("resnet18", bias=False).state_dict(), tmp_path / "trunk.pth")
    davis = make_davis_2016(tmp_path / "DAVIS/2016", videos=("bike",))
    flags = ["--model", str(tmp_path / "trunk.pth"), "--backbone", "resnet18", "--davis", str(davis), "--device", "cpu"]
    main([*flags, "--output", str(tmp_path / "out"), "--score"])
    assert len(list((tmp_path / "out/bike").iterdir())) == 4
    assert "bike_1" in capsys.readouterr().out
    torch.save(ResNetEncoder("resnet18", bias=False).state_dict(), tmp_path / "trunk.pth")
    with pytest.raises(InputError, match="other --model; pass --overwrite"):
        main([*flags, "--output", str(tmp_path / "out")])
    main([*flags, "--output", str(tmp_path / "out"), "--overwrite"])
    (tmp_path / "trunk.pth").unlink()
    with pytest.raises(InputError, match=r"trunk\.pth does not exist"):
        main([*flags, "--output", str(tmp_path / "other")])
