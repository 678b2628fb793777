"""DropSeg that begins with the encoder of a masked auto-encoder."""

import argparse
import json
import logging
from copy import deepcopy
from functools import cache

import pytest
import torch

from model import build_network
from model.dropmae import DropMAE
from model.dropseg import DropSeg
from model.layers.vit import resize_grid, sincos_grid
from model.weights.checkpoint import Checkpoint, save_checkpoint
from model.weights.pretrained import load_mae_encoder
from model.weights.published import add_class_rows, to_published
from tests.helpers.deterministic import FIXTURES
from tests.helpers.weight_files import NARROW, NARROW_VIT, saved
from util.errors import InputError

NEW_LAYERS = {"mask_embed", "up8", "up4", "decoder"}
ROLES = ("query_encoder.query_role", "query_encoder.memory_role")
WIDTH = 48  # of the narrow transformer


@pytest.fixture(autouse=True)
def narrow():
    """Small transformers and encoders take little time and room."""
    with NARROW, NARROW_VIT:
        yield


def dropseg(**options):
    torch.manual_seed(1)
    return DropSeg(backbone="vit_ti16", image_size=48, **options)


@cache
def dropmae(image_size=224):
    torch.manual_seed(0)
    return DropMAE(backbone="vit_ti16", image_size=image_size, decoder_width=32, decoder_depth=1, decoder_heads=1)


def published_weights(**options):
    return to_published("dropmae", dropmae(**options).state_dict())


def plain_mae():
    """The encoder alone, as MAE is published: a class token, no roles."""
    left_out = ("decoder", "mask_token", "temporal")
    state = {key: value for key, value in published_weights().items() if not key.startswith(left_out)}
    return {"cls_token": torch.zeros(1, 1, WIDTH), **state}


def training_file(path, state):
    args = argparse.Namespace(batch_size=64, norm_pix_loss=True, output_dir="./output", mask_ratio=0.75)
    return saved(
        path, {"model": state, "optimizer": {"state": {}}, "epoch": 1599, "scaler": {"scale": 1.0}, "args": args}
    )


def of_encoder(network, prefix):
    return {key.removeprefix(prefix): value for key, value in network.state_dict().items() if key.startswith(prefix)}


def assert_encoder_of(network, source):
    ours, theirs = of_encoder(network, "query_encoder."), of_encoder(source, "encoder.")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.filterwarnings("ignore:.*meta parameter")
def test_the_published_file_gives_151_entries(tmp_path):
    shapes = json.loads((FIXTURES / "dropmae_state_dict.json").read_text())
    path = training_file(tmp_path / "k400.pth", {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()})
    with torch.device("meta"):
        network = DropSeg()
    report = load_mae_encoder(network, path)
    assert len(report.taken) == 151
    assert len(report.taken) + len(report.left) == len(shapes)
    assert [key for key in report.left if "decoder" not in key] == ["mask_token"]
    assert {name.partition(".")[0] for name in report.missing} == NEW_LAYERS


@pytest.mark.parametrize("form", ["training", "bare", "ours"])
def test_encoder_roles_and_positions_are_taken_and_the_rest_stays(tmp_path, form):
    source, path = dropmae(), tmp_path / "mae.pth"
    if form == "ours":
        save_checkpoint(path, Checkpoint("dropmae", source.options, source.state_dict(), iteration=5))
    else:
        state = to_published("dropmae", source.state_dict())
        training_file(path, state) if form == "training" else saved(path, state)
    network = dropseg()
    fresh = deepcopy(network.state_dict())
    report = load_mae_encoder(network, path)
    assert_encoder_of(network, source)
    assert torch.equal(network.pretrained_positions, sincos_grid(WIDTH, 14))
    torch.testing.assert_close(network.positions, resize_grid(sincos_grid(WIDTH, 14), (3, 3)))
    assert len(report.taken) == 151
    assert {name.partition(".")[0] for name in report.missing} == NEW_LAYERS
    assert all(torch.equal(network.state_dict()[name], fresh[name]) for name in report.missing)


def test_plain_mae_leaves_the_roles_as_they_were(tmp_path):
    network = dropseg()
    fresh = deepcopy(network.state_dict())
    report = load_mae_encoder(network, saved(tmp_path / "mae.pth", {"model": plain_mae()}))
    assert len(report.taken) == 149
    assert report.left == ("cls_token",)
    assert set(ROLES) < set(report.missing)
    assert all(torch.equal(network.state_dict()[name], fresh[name]) for name in ROLES)
    assert torch.equal(network.query_encoder.blocks[3].expand.weight, plain_mae()["blocks.3.mlp.fc1.weight"])


def test_learned_positions_of_the_file_replace_the_fixed_ones(tmp_path):
    grid = torch.randn(1, WIDTH, 14, 14, generator=torch.Generator().manual_seed(0))
    state = {**plain_mae(), **add_class_rows({"pos_embed": grid})}
    network = dropseg()
    load_mae_encoder(network, saved(tmp_path / "mae.pth", state))
    assert torch.equal(network.pretrained_positions, grid)
    torch.testing.assert_close(network.positions, resize_grid(grid, (3, 3)))


def test_positions_of_another_grid_are_resized(tmp_path):
    network = dropseg()
    load_mae_encoder(network, saved(tmp_path / "mae.pth", published_weights(image_size=112)))
    expected = resize_grid(sincos_grid(WIDTH, 7), (14, 14))
    torch.testing.assert_close(network.pretrained_positions, expected)
    torch.testing.assert_close(network.positions, resize_grid(expected, (3, 3)))


def test_without_positions_in_the_file_they_are_sines(tmp_path):
    state = {key: value for key, value in plain_mae().items() if key != "pos_embed"}
    network = dropseg()
    network.pretrained_positions.zero_()
    report = load_mae_encoder(network, saved(tmp_path / "mae.pth", state))
    assert len(report.taken) == 148
    assert torch.equal(network.pretrained_positions, sincos_grid(WIDTH, 14))


def test_a_quality_scorer_is_a_new_layer(tmp_path):
    report = load_mae_encoder(dropseg(quality_head=True), saved(tmp_path / "mae.pth", published_weights()))
    assert any(name.startswith("quality_scorer.") for name in report.missing)


def test_what_happened_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "model.weights.pretrained"):
        load_mae_encoder(dropseg(), saved(tmp_path / "mae.pth", published_weights()))
    assert "151 taken" in caplog.text
    assert "mask_token" in caplog.text
    assert "mask_embed" in caplog.text


def without(state, start):
    return {key: value for key, value in state.items() if not key.startswith(start)}


class Unwanted:
    """A class that no weights file may hold."""


WRONG = {
    "no blocks": (lambda: without(plain_mae(), "blocks."), "lacks 144 entries of the blocks of vit_ti16"),
    "a block short": (lambda: without(plain_mae(), "blocks.11."), "lacks 12 entries"),
    "another width": (
        lambda: {**plain_mae(), "patch_embed.proj.weight": torch.zeros(384, 3, 16, 16)},
        f"encoder of 384 channels, vit_ti16 has {WIDTH}",
    ),
    "other patches": (
        lambda: {**plain_mae(), "patch_embed.proj.weight": torch.zeros(WIDTH, 3, 8, 8)},
        rf"patch_embed.proj.weight of shape \({WIDTH}, 3, 8, 8\)",
    ),
    "no transformer": (lambda: {"conv1.weight": torch.zeros(64, 3, 7, 7)}, "holds no vision transformer"),
    "no square": (lambda: {**plain_mae(), "pos_embed": torch.zeros(1, 151, WIDTH)}, "pos_embed of 151 rows"),
    "code": (lambda: {"model": plain_mae(), "args": Unwanted()}, "could run code"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_and_changes_nothing(tmp_path, kind):
    make, message = WRONG[kind]
    network = dropseg()
    fresh = deepcopy(network.state_dict())
    with pytest.raises(InputError, match=message) as caught:
        load_mae_encoder(network, saved(tmp_path / "wrong.pth", make()))
    assert "wrong.pth" in str(caught.value)
    assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())


def test_another_network_of_ours_is_refused(tmp_path):
    network = build_network("qdmn_small", backbone="resnet18")
    save_checkpoint(tmp_path / "q.pth", Checkpoint("qdmn_small", network.options, network.state_dict()))
    with pytest.raises(InputError, match="holds qdmn_small; expected weights of DropMAE or MAE"):
        load_mae_encoder(dropseg(), tmp_path / "q.pth")
