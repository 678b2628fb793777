"""DropSeg gives the numbers of the published network."""

import json
import zlib

import numpy as np
import pytest
import torch

from inference_core import InferenceCore
from model.dropseg import DropSeg
from model.layers.vit import grid_tokens, resize_grid
from model.memory.read import MemoryReader, stack_entries
from model.weights.checkpoint import load_network
from model.weights.published import PUBLISHED, as_grid, from_published, to_published
from tests.helpers.deterministic import FIXTURES, fixture
from tests.helpers.parity import ROUNDING, as_asked, assert_close
from tests.helpers.weight_files import saved
from training.trainer import ClipForward, Objective

pytestmark = pytest.mark.slow

KINDS = ("base", "pos")
READER = MemoryReader(top_k=None)


def filled(key, shape, kind):
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    if kind == "pos" and (key in ("pos_embed", "cls_token") or key.startswith("temporal_pos_embed")):
        noise = 0.5 * noise
    elif len(shape) >= 2:
        noise = 0.5 * np.sqrt(2 / np.prod(shape[1:])) * noise
    else:
        noise = (1 + 0.1 * noise) if key.endswith("weight") else 0.1 * noise
    return torch.from_numpy(noise.astype(np.float32))


def two_frame_positions(embedding, side, frames=2):
    """Published pos_embed (1,1+196,D) -> what DropSeg stores for several frames, (1,1+frames*side^2,D)."""
    grid = grid_tokens(resize_grid(as_grid(embedding[:, 1:]), (side, side)))
    return torch.cat([embedding[:, :1], *[grid] * frames], 1)


def published_state(kind, side=24):
    shapes = json.loads((FIXTURES / "dropseg_state_dict.json").read_text())
    state = {key: filled(key, shape, kind) for key, shape in shapes.items()}
    state["pos_embed_two_frame"] = two_frame_positions(state["pos_embed"], side)
    state["pos_embed_three_frame"] = two_frame_positions(state["pos_embed"], side, 3)
    return state


def build(kind, side=24):
    state = published_state(kind, side)
    network = DropSeg(**PUBLISHED["dropseg"].options(state), drop_path=0.0)
    network.load_state_dict(from_published("dropseg", state))
    return as_asked(network.eval())


@pytest.fixture(scope="module")
def expected():
    return fixture("dropseg")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def network(kind):
    return build(kind)


def test_positions(kind, expected):
    two = two_frame_positions(published_state(kind)["pos_embed"], 24)
    assert_close(two[0, ::16, ::32], expected[f"{kind}.pos_two_frame_ckpt"])
    grid = grid_tokens(resize_grid(as_grid(two[:, 1 : 1 + 24 * 24]), (3, 4)))
    whole = torch.cat([two[:, :1], grid, grid], 1)
    assert_close(whole[0, :, ::16], expected[f"{kind}.pos_two_frame_3x4"])


@torch.no_grad()
def test_features_logits_and_masks(network, kind, expected):
    frames, masks = torch.from_numpy(expected["frames"]), torch.from_numpy(expected["masks"])[None]
    memory = stack_entries([network.encode_memory(frames[:1], masks)])
    query = network.encode_query(frames[1:2], masks[:, :1])
    f16 = network.read(query, memory, READER)
    logits = network.decode(query, f16)[0]
    f8, f4 = network.up8(f16[0]), network.up4(f16[0])
    for k in range(2):
        assert_close(f16[0, k], expected[f"{kind}.m16_obj{k + 1}"])
        assert_close(logits[k], expected[f"{kind}.logit_obj{k + 1}"])
        if kind == "base":
            assert_close(f8[k, ::4], expected[f"base.m8_obj{k + 1}_ch4"])
            assert_close(f4[k, ::8], expected[f"base.m4_obj{k + 1}_ch8"])
    clip = ClipForward(network)
    for selector, name in (((1, 1), "sel11"), ((1, 0), "sel10"))[: 2 if kind == "base" else 1]:
        output = clip(frames[None, :2], masks, torch.tensor([selector]).float())
        assert_close(output.logits[0, 0], expected[f"{kind}.seg_logits_{name}"])
        assert_close(output.masks[0, 0], expected[f"{kind}.seg_prob_{name}"])


@torch.no_grad()
def test_two_memory_frames(expected):
    network = build("base")
    frames, masks = torch.from_numpy(expected["frames"]), torch.from_numpy(expected["masks"])
    entries = [network.encode_memory(frames[t : t + 1], masks[k][None, None]) for t, k in ((0, 0), (2, 1))]
    query = network.encode_query(frames[1:2], masks[None, :1])
    assert_close(network.read(query, stack_entries(entries), READER)[0, 0], expected["base.m16_two_memory"])


@pytest.mark.parametrize("objects", [1, 2])
def test_inference(network, kind, objects, expected):
    frames = torch.from_numpy(expected["frames"])[..., :41, :57]
    masks = torch.from_numpy(expected["masks"])[:objects, :41, :57]
    core = InferenceCore(network)
    ours = torch.stack([core.step(image, masks if t == 0 else None) for t, image in enumerate(frames)], 1)
    reference = expected[f"{kind}.infer{objects}_prob"][..., 3:44, 3:60]
    assert_close(ours, reference)
    assert (ours.argmax(0).numpy() == expected[f"{kind}.infer{objects}_label"]).all()


def training_batch(expected, objects):
    first = torch.from_numpy(expected["train.gt"])
    if objects == 1:
        labels = (first[:, :, 0] > 0.5).long()
        return {
            "frames": torch.from_numpy(expected["train.rgb"]),
            "masks": first,
            "labels": labels,
            "selector": torch.ones(2, 1),
        }
    return {
        "frames": torch.from_numpy(expected["train.rgb"]),
        "masks": torch.cat([first, torch.from_numpy(expected["train.sec_gt"])], 2),
        "labels": torch.from_numpy(expected["train.cls_gt"]).long(),
        "selector": torch.from_numpy(expected["train.selector"]),
    }


@pytest.mark.parametrize(("prefix", "objects"), [("train", 2), ("train_so", 1)])
def test_training(prefix, objects, expected):
    network = build("base", side=3)
    batch = training_batch(expected, objects)
    output = ClipForward(network)(batch["frames"], batch["masks"][:, 0], batch["selector"])
    assert_close(output.logits[:, 0].detach(), expected[f"{prefix}.logits_1"])
    assert_close(output.masks[:, 0, :1].detach(), expected[f"{prefix}.mask_1"])
    objective = Objective()
    for iteration, total, share in zip(
        *(expected[f"{prefix}.loss_{name}"] for name in ("iters", "total", "p")), strict=True
    ):
        losses = objective.losses(output, batch, int(iteration))
        assert losses["total_loss"].item() == pytest.approx(total, abs=ROUNDING)
        assert losses["p"].item() == pytest.approx(share)
    if objects == 2:
        assert_close(output.masks[:, 0, 1:].detach(), expected["train.sec_mask_1"])
        check_gradients(network, objective.losses(output, batch, 0)["total_loss"], expected)


def check_gradients(network, loss, expected):
    loss.backward()
    ours = {k: v.grad for k, v in network.named_parameters() if v.grad is not None}
    total = torch.stack([gradient.norm() for gradient in ours.values()]).norm().item()
    assert total == pytest.approx(float(expected["train.grad_total_norm"]), rel=1e-4)
    empty = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    published = to_published("dropseg", empty | ours)
    for name in [key for key in expected if key.startswith("train.grad.")]:
        gradient = published[name.removeprefix("train.grad.")].flatten()[::4]
        np.testing.assert_allclose(gradient, expected[name], atol=ROUNDING * 0.1, rtol=1e-3)


def test_published_weights_in_and_out(tmp_path):
    """But for positions, an entry holds one number, which takes no room on disk."""
    state = published_state("base")
    for number, (name, value) in enumerate(state.items()):
        if not name.startswith("pos_embed"):
            state[name] = torch.tensor(float(number)).expand(value.shape)
    network = load_network(saved(tmp_path / "Nov06_s03_210000.pth", state), torch.device("cpu"))
    assert network.options["image_size"] == 384
    back = to_published("dropseg", network.state_dict())
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in state.items()}
    unused = ("cls_token", "head.", "fc_norm.")
    for name, value in state.items():
        if name.startswith("pos_embed"):
            assert torch.equal(back[name][:, 1:], value[:, 1:])
        elif not name.startswith(unused):
            assert torch.equal(back[name], value)
    again = from_published("dropseg", back)
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())
