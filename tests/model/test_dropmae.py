"""DropMAE: what is hidden, what is learned, and its published form."""

import json

import numpy as np
import pytest
import torch

from model import NETWORKS, build_network
from model.dropmae import DropMAE, MAEDecoder, patchify, unpatchify
from model.layers.vit import sincos_grid
from model.weights.checkpoint import (
    Checkpoint,
    load_network,
    read_weights,
    restore_network,
    save_checkpoint,
    save_published,
)
from model.weights.published import add_class_rows, from_published, identify, to_published
from tests.helpers.deterministic import FIXTURES, fixture
from tests.helpers.weight_files import saved
from util.errors import InputError

CPU = torch.device("cpu")
SMALL = {"backbone": "vit_ti16", "image_size": 48, "decoder_width": 64, "decoder_depth": 2, "decoder_heads": 2}
TOKENS, KEPT = 18, 4


def small(seed=0, **options):
    torch.manual_seed(seed)
    return DropMAE(**{**SMALL, **options})


def frames_like(batch=2, seed=0, shape=(48, 48)):
    return torch.randn(batch, 2, 3, *shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def complete(network, frames, seed=3):
    torch.manual_seed(seed)
    return network(frames)


def brute_patch(frames, sample, number):
    """Pixels of a patch in float64, colours together."""
    height, width = (side // 16 for side in frames.shape[-2:])
    time, place = divmod(number, height * width)
    top, left = (16 * i for i in divmod(place, width))
    pixels = frames[sample, time, :, top : top + 16, left : left + 16].double().numpy()
    return np.array([pixels[colour, y, x] for y in range(16) for x in range(16) for colour in range(3)])


def published_shapes():
    return json.loads((FIXTURES / "dropmae_state_dict.json").read_text())


def published_constants():
    """Another number in each entry, the class rows zero; each tensor but those takes a single number on disk."""
    state = {key: torch.tensor(float(i)).expand(shape) for i, (key, shape) in enumerate(published_shapes().items(), 1)}
    return state | add_class_rows({key: state[key][:, 1:].transpose(1, 2).unflatten(2, (14, 14)) for key in GRIDS})


GRIDS = ("pos_embed", "decoder_pos_embed")


@pytest.mark.parametrize(("ratio", "kept"), [(0.75, 4), (0.5, 9), (0.9, 1), (0.99, 1)])
def test_a_share_of_the_patches_of_both_frames_is_hidden(ratio, kept):
    done = complete(small(mask_ratio=ratio), frames_like(64))
    assert ((~done.hidden).sum(1) == kept).all()
    of_frames = (~done.hidden).unflatten(1, (2, 9)).sum(2)
    assert of_frames[:, 0].unique().numel() > 1 or kept == 1
    assert 0.25 < of_frames[:, 0].sum() / (64 * kept) < 0.75


def test_the_published_numbers_of_patches():
    with torch.device("meta"):
        assert DropMAE(backbone="vit_ti16").kept_count(392) == 98


@pytest.mark.parametrize("shape", [(48, 48), (32, 64)])
def test_predictions_depend_on_the_visible_patches_alone(shape):
    network, frames = small().eval(), frames_like(1, shape=shape)
    done = complete(network, frames)
    noise = unpatchify(torch.randn(1, done.hidden.shape[1], 768).masked_fill(~done.hidden[:, :, None], 0), frames.shape)
    torch.testing.assert_close(complete(network, frames + noise).predicted, done.predicted)
    for number in (~done.hidden[0]).nonzero().flatten().tolist():
        alone = torch.zeros(1, done.hidden.shape[1], 768)
        alone[0, number] = torch.randn(768)
        changed = complete(network, frames + unpatchify(alone, frames.shape)).predicted
        assert (changed - done.predicted).abs().max() > 1e-4


def test_every_patch_returns_to_its_place_in_the_decoder():
    torch.manual_seed(0)
    decoder = MAEDecoder(24, 16, 2, 2, 3, attention_dropout=0.0)
    kept = torch.tensor([[7, 0, 17, 9], [16, 3, 1, 12]])
    order = torch.stack([torch.cat([k, torch.tensor([i for i in range(TOKENS) if i not in k])]) for k in kept])
    features = torch.randn(2, KEPT, 24)
    rows = []
    for sample in range(2):
        for token in range(TOKENS):
            seen = kept[sample].tolist()
            start = decoder.embed(features[sample, seen.index(token)]) if token in seen else decoder.mask_token[0, 0]
            time, place = divmod(token, 9)
            role = (decoder.earlier_role, decoder.later_role)[time][0, 0]
            rows.append(start + role + decoder.positions[0, :, place // 3, place % 3])
    x = torch.stack(rows).view(2, TOKENS, 16)
    for block in decoder.blocks:
        x = block(x, TOKENS)
    expected = decoder.predict(decoder.norm(x))
    torch.testing.assert_close(decoder(features, order.argsort(1), (3, 3)), expected)


def test_the_encoder_sees_the_visible_patches_with_their_positions_and_roles():
    network, frames = small().eval(), frames_like()
    encoder, kept = network.encoder, torch.tensor([[7, 0, 17, 9], [16, 3, 1, 12]])
    rows = []
    for sample in range(2):
        for token in kept[sample].tolist():
            time, place = divmod(token, 9)
            top, left = (16 * i for i in divmod(place, 3))
            patch = frames[sample, time, :, top : top + 16, left : left + 16]
            role = (encoder.query_role, encoder.memory_role)[time][0, 0]
            position = network.positions[0, :, place // 3, place % 3]
            rows.append(encoder.patch_embed(patch[None]).flatten() + role + position)
    expected = encoder.encode(torch.stack(rows).view(2, KEPT, -1))
    torch.testing.assert_close(network.encode(frames, kept), expected, atol=1e-5, rtol=1e-4)


def test_the_loss_is_the_error_of_hidden_patches_without_mean_and_scale():
    frames = frames_like(3, shape=(32, 48)) * torch.tensor([0.2, 1, 5]).view(3, 1, 1, 1, 1) + 1
    done = complete(small(), frames)
    errors = []
    for sample, number in done.hidden.nonzero().tolist():
        pixels = brute_patch(frames, sample, number)
        target = (pixels - pixels.mean()) / np.sqrt(pixels.var(ddof=1) + 1e-6)
        errors.append(((done.predicted[sample, number].double().numpy() - target) ** 2).mean())
    assert done.loss.item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_patches_become_the_frames_again():
    frames = frames_like(shape=(32, 48))
    assert torch.equal(patchify(frames)[1, 8].double(), torch.from_numpy(brute_patch(frames, 1, 8)))
    assert torch.equal(unpatchify(patchify(frames), frames.shape), frames)


def test_pictures_show_the_hidden_as_grey_and_the_visible_as_it_is():
    network, frames = small(), frames_like()
    done = complete(network, frames)
    hidden, completed, true = (patchify(kind) for kind in network.pictures(frames, done).unbind(2))
    assert torch.equal(true, patchify(frames))
    assert not hidden[done.hidden].any()
    assert torch.equal(hidden[~done.hidden], true[~done.hidden])
    assert torch.equal(completed[~done.hidden], true[~done.hidden])
    for sample, number in done.hidden.nonzero().tolist():
        pixels = brute_patch(frames, sample, number)
        expected = done.predicted[sample, number].double().numpy() * np.sqrt(pixels.var(ddof=1) + 1e-6) + pixels.mean()
        np.testing.assert_allclose(completed[sample, number], expected, atol=1e-5)


def test_only_the_decoder_drops_attention_and_only_in_training():
    frames, kept = frames_like(), torch.tensor([[7, 0, 17, 9], [16, 3, 1, 12]])
    network = small(attention_dropout=0.5)
    rank = torch.stack([torch.cat([k, torch.tensor([i for i in range(TOKENS) if i not in k])]) for k in kept]).argsort(
        1
    )
    features = network.train().encode(frames, kept)
    assert torch.equal(features, network.encode(frames, kept))
    first, second = (network.decoder(features, rank, (3, 3)) for _ in range(2))
    assert not torch.allclose(first, second)
    network.eval()
    assert torch.equal(features, network.encode(frames, kept))
    assert torch.equal(network.decoder(features, rank, (3, 3)), network.decoder(features, rank, (3, 3)))


def test_blocks_computed_twice_give_the_same_gradients():
    frames, gradients = frames_like(), []
    for twice in (False, True):
        network = small(checkpoint_activations=twice, attention_dropout=0.5).train()
        torch.manual_seed(3)
        network(frames).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def test_every_parameter_learns():
    network = small()
    network(frames_like()).loss.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_decoder_of_another_width_is_refused():
    with pytest.raises(ValueError, match="multiple of 4 and of its 3 heads"):
        small(decoder_width=64, decoder_heads=3)


def test_positions_are_the_published_ones():
    rows = add_class_rows({"pos_embed": sincos_grid(768, 14)})["pos_embed"]
    np.testing.assert_allclose(rows[0, ::7, ::8], fixture("dropseg")["dropmae.pos_embed"], atol=1e-6)


def test_names_and_shapes_equal_the_published_ones():
    with torch.device("meta"):
        network = DropMAE()
    ours = {key: list(value.shape) for key, value in to_published("dropmae", network.state_dict()).items()}
    assert ours == published_shapes()


def test_translation_of_names_is_lossless():
    published = published_constants()
    ours = from_published("dropmae", published)
    with torch.device("meta"):
        assert set(ours) == set(DropMAE().state_dict())
    back = to_published("dropmae", ours)
    assert set(back) == set(published)
    assert all(torch.equal(back[key], published[key]) for key in published)


def test_a_published_file_comes_back(tmp_path):
    network = small(attention_dropout=0.1)
    save_published(tmp_path / "p.pth", network)
    back = restore_network(read_weights(tmp_path / "p.pth"), tmp_path / "p.pth")
    assert isinstance(back, DropMAE)
    assert back.options == network.options
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in back.state_dict().items())


def test_dropmae_and_plain_encoders_are_told_apart():
    published = published_constants()
    encoder = {key: value for key, value in published.items() if not key.startswith(("decoder", "mask", "temporal"))}
    assert identify(published) == "dropmae"
    assert "encoder" in identify(encoder)
    assert "encoder" in identify({**encoder, "decoder_embed.weight": published["decoder_embed.weight"]})


def test_an_encoder_alone_is_named_in_the_refusal(tmp_path):
    encoder = {key: value for key, value in published_constants().items() if key.startswith(("blocks", "patch"))}
    with pytest.raises(InputError, match=r"encoder \(MAE\); expected weights of ours"):
        read_weights(saved(tmp_path / "mae.pth", {"model": encoder}))


def test_it_is_no_network_for_segmentation(tmp_path):
    network = small()
    assert "dropmae" not in NETWORKS
    with pytest.raises(ValueError, match="no network 'dropmae'"):
        build_network("dropmae")
    save_checkpoint(tmp_path / "ours.pth", Checkpoint("dropmae", network.options, network.state_dict()))
    with pytest.raises(InputError, match="segments nothing"):
        load_network(tmp_path / "ours.pth", CPU)
