"""DropTrack: the published numbers, what candidate elimination drops, and the files it begins with.

The crops in droptrack_full.npz are of motocross-jump of DAVIS (Perazzi et al., CVPR 2016; CC BY 4.0).
"""

import json
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from model.droptrack import DropTrack, box_tokens, eliminate, hann_window, ranking_tokens
from model.weights.checkpoint import (
    Checkpoint,
    load_network,
    load_tracker,
    load_weights,
    read_content,
    read_weights,
    restore_network,
    save_checkpoint,
    save_published,
)
from model.weights.pretrained import load_tracker_start
from model.weights.published import from_published, to_published
from tests.helpers.deterministic import FIXTURES, fixture
from tests.helpers.droptrack_networks import (
    SMALL,
    SMALL_SIZE,
    batch_of,
    filled,
    full_tracker,
    published_tracker,
    small_tracker,
)
from tests.helpers.weight_files import NARROW_VIT, checkpoint_of, saved
from util.errors import InputError

CPU = torch.device("cpu")
SMALL_LIMIT, FULL_LIMIT = 5e-6, 1e-5
RANKINGS = {"centre": "ctr_point", "centre_square": "ctr_rec", "box": "gt_box", "all": "all"}
TINY = {"backbone": "vit_ti16", "template_size": 32, "search_size": 64, "head_channels": 16}

WIDTH = 48  # of the narrow transformer


@pytest.fixture(autouse=True)
def narrow():
    """The smallest transformer takes little time and room."""
    with NARROW_VIT:
        yield


@pytest.fixture(scope="module")
def small():
    return fixture("droptrack_small")


@pytest.fixture(scope="module")
def network():
    return small_tracker()


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return DropTrack(**{**TINY, **options}).eval()


def pictures(batch=2, seed=0, template=32, search=64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, 3, side, side, generator=generator) for side in (template, search))


def assert_within(ours, expected, limit):
    np.testing.assert_allclose(np.asarray(ours).squeeze(), expected.squeeze(), atol=limit, rtol=0)


def assert_maps(found, expected, prefix, limit):
    for name in ("score", "size", "offset"):
        if f"{prefix}_{name}" in expected:
            assert_within(getattr(found.maps, name)[0], expected[f"{prefix}_{name}"], limit)


def assert_removed(found, expected, prefix):
    for i, removed in enumerate(found.removed):
        assert set(removed[0].tolist()) == set(expected[f"{prefix}_removed{i}"].tolist())


@torch.no_grad()
@pytest.mark.parametrize("ranking", RANKINGS)
def test_small_network_equals_the_published_one(ranking, small):
    network = small_tracker(ranking=ranking)
    mask = box_tokens(torch.tensor([[0.25, 0.3, 0.5, 0.4]]), 128) if ranking == "box" else None
    found = network(batch_of(small["template"]), batch_of(small["search"]), mask)
    assert_maps(found, small, RANKINGS[ranking], SMALL_LIMIT)
    assert_removed(found, small, RANKINGS[ranking])


@torch.no_grad()
def test_blocks_and_features_equal_the_published_ones(network, small):
    outputs = []
    hooks = [network.encoder.blocks[0].register_forward_hook(lambda block, given, out: outputs.append((given[0], out)))]
    features, _ = network.encode(batch_of(small["template"]), batch_of(small["search"]))
    for hook in hooks:
        hook.remove()
    ((given, out),) = outputs
    assert_within(given[0], small["tokens0"], SMALL_LIMIT)
    assert_within(out[0, ::4], small["ctr_point_block0"], SMALL_LIMIT)
    assert_within(features[0], small["ctr_point_feat"][64:], SMALL_LIMIT)


@torch.no_grad()
def test_the_box_is_where_the_score_is_highest(network, small):
    found = network(batch_of(small["template"]), batch_of(small["search"]))
    assert_within(found.boxes[0], small["ctr_point_box"], 1e-6)
    row, column = divmod(int(found.maps.score[0, 0].argmax()), 16)
    offset, size = found.maps.offset[0, :, row, column], found.maps.size[0, :, row, column]
    expected = [(column + offset[0]) / 16, (row + offset[1]) / 16, *size]
    assert_within(found.boxes[0], np.array(expected), 1e-6)


@pytest.mark.slow
@torch.no_grad()
def test_full_network_equals_the_published_one():
    expected = fixture("droptrack_full")
    network = full_tracker()
    images = batch_of(expected["template"]), batch_of(expected["search"])
    assert sum(weight.numel() for weight in network.parameters()) == 92_827_269 - 152_064
    for prefix, rate in (("ce", None), ("keep85", 0.85)):
        found = network(*images, keep_rate=rate)
        assert_maps(found, expected, prefix, FULL_LIMIT)
        assert_removed(found, expected, prefix)
        assert_within(found.boxes[0], expected[f"{prefix}_box"], 1e-6)
        assert_within(found.maps.boxes(hann_window(24))[0], expected[f"{prefix}_box_hann"], 1e-6)
    assert [removed.shape[1] for removed in network(*images).removed] == [172, 121, 84]


def test_window():
    assert_within(hann_window(24), fixture("droptrack_full")["hann"], 1e-6)


@pytest.mark.parametrize(("side", "place"), [(7, 3), (8, 3), (12, 5), (14, 6)])
def test_the_ranking_token_is_the_published_one(side, place):
    assert ranking_tokens("centre", side).tolist() == [place * side + place]


def test_ranking_tokens_equal_the_published_ones(small):
    for ranking, name in (("centre", "CTR_POINT"), ("centre_square", "CTR_REC")):
        assert ranking_tokens(ranking, 8).tolist() == np.flatnonzero(small[f"mask_{name}"]).tolist()
    of_box = box_tokens(torch.tensor([[0.25, 0.3, 0.5, 0.4]]), 128)
    assert (of_box[0].numpy() == small["mask_GT_BOX"]).all()


@torch.no_grad()
def test_elimination_equals_a_plain_computation():
    torch.manual_seed(0)
    block = tiny().encoder.blocks[3].double()
    tokens, template, kept = torch.randn(2, 4 + 9, WIDTH, dtype=torch.float64), 4, 5
    weights = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    out, staying, leaving = eliminate(block, tokens, 9, kept, torch.tensor([1, 2]), weights)
    query, key, _ = block.attention.split(block.norm1(tokens))
    attention = (query @ key.transpose(2, 3) / math.sqrt(64)).softmax(-1)[:, :, [1, 2], template:]
    worth = (attention * weights[:, None, :, None]).sum(2).mean(1)
    whole = block(tokens, 13)
    for b in range(2):
        best = worth[b].argsort(descending=True)
        assert staying[b].tolist() == sorted(best[:kept].tolist())
        assert leaving[b].tolist() == sorted(best[kept:].tolist())
        torch.testing.assert_close(out[b], whole[b, [*range(template), *(template + staying[b])]])


@torch.no_grad()
def test_keeping_all_is_no_elimination():
    network, plain = tiny(), tiny(elimination_blocks=(), keep_rates=())
    plain.load_state_dict(network.state_dict())
    template, search = pictures()
    found = network(template, search, keep_rate=1.0)
    torch.testing.assert_close(found.boxes, plain(template, search).boxes)
    assert [removed.numel() for removed in found.removed] == [0, 0, 0]


@torch.no_grad()
def test_each_block_keeps_its_share_and_places_without_token_are_zero():
    network = tiny(keep_rates=(0.9, 1.0, 0.5))
    features, removed = network.encode(*pictures())
    assert [tokens.shape[1] for tokens in removed] == [16 - 15, 0, 15 - 8]
    for b in range(2):
        gone = torch.cat([tokens[b] for tokens in removed]).tolist()
        assert len(set(gone)) == 8
        empty = (features[b] == 0).all(1).nonzero().squeeze(1).tolist()
        assert empty == sorted(gone)


@torch.no_grad()
def test_the_last_block_may_eliminate():
    network = tiny(elimination_blocks=(11,), keep_rates=(0.5,))
    features, (removed,) = network.encode(*pictures())
    assert removed.shape == (2, 8) and (features == 0).all(2).sum() == 16


def test_samples_of_a_batch_do_not_touch_each_other():
    network = tiny()
    template, search = pictures(3)
    with torch.no_grad():
        together = network(template, search)
        alone = [network(template[i : i + 1], search[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together.boxes, torch.cat([one.boxes for one in alone]))
    for number, removed in enumerate(together.removed):
        assert [row.tolist() for row in removed] == [one.removed[number][0].tolist() for one in alone]


def test_every_weight_learns():
    network = tiny(drop_path=0.0).train()
    found = network(*pictures())
    (found.maps.score.sum() + found.maps.size.sum() + found.maps.offset.sum()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_no_attention_matrix_is_made(monkeypatch):
    rows = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, *a, **k: rows.append(x.shape[-2]) or softmax(x, *a, **k))
    with torch.no_grad():
        tiny()(*pictures())
    assert rows == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search_size": 60}, "multiples of 16"),
        ({"elimination_blocks": (12,), "keep_rates": (0.7,)}, "do not fit"),
        ({"keep_rates": (0.7,)}, "do not fit"),
        ({"keep_rates": (0.7, 0, 0.7)}, "above 0"),
        ({"ranking": "corner"}, "no ranking"),
        ({"backbone": "vit_x"}, "vision transformer"),
        ({"head_channels": 8}, "too narrow"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_tokens_of_the_box_must_be_given_where_they_rank():
    with pytest.raises(ValueError, match="do not fit"):
        tiny(ranking="box")(*pictures())


def test_published_entries_in_and_out(tmp_path):
    published = published_tracker()
    network = small_tracker()
    with SMALL_SIZE:
        save_published(tmp_path / "out.pth.tar", network)
        written = read_content(tmp_path / "out.pth.tar")["net"]
        again = DropTrack(**SMALL)
        load_weights(again, tmp_path / "out.pth.tar")
    unused = ("backbone.cls_token", "backbone.pos_embed")
    assert {key: value.shape for key, value in written.items()} == {k: v.shape for k, v in published.items()}
    assert all(torch.equal(written[key], value) for key, value in published.items() if key not in unused)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in network.state_dict().items())


def test_a_file_of_ours_keeps_what_has_no_weights(tmp_path):
    network = tiny(elimination_blocks=(2,), keep_rates=(0.5,), ranking="all")
    save_checkpoint(tmp_path / "ours.pth", checkpoint_of(network))
    again = load_tracker(tmp_path / "ours.pth", CPU)
    assert again.options == network.options
    template, search = pictures()
    with torch.no_grad():
        torch.testing.assert_close(again(template, search).boxes, network(template, search).boxes)


def test_a_tracker_is_no_mask_network(tmp_path):
    save_checkpoint(tmp_path / "ours.pth", checkpoint_of(tiny()))
    with pytest.raises(InputError, match="finds boxes and no masks; pass it to eval_boxes"):
        load_network(tmp_path / "ours.pth", CPU)


def test_a_published_training_file_is_read_although_it_holds_unknown_objects():
    content = read_content(FIXTURES / "droptrack_checkpoint_form.pth.tar")
    expected = json.loads((FIXTURES / "droptrack_checkpoint_form.json").read_text())
    assert list(content["net"]) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(content["net"][key].numpy(), np.asarray(value, content["net"][key].numpy().dtype))
    assert {"epoch", "optimizer", "stats", "settings"} < set(content)


def test_weights_are_found_in_a_published_training_file(tmp_path):
    form = read_content(FIXTURES / "droptrack_checkpoint_form.pth.tar")
    assert form["net_type"] == "OSTrack"
    plain = {key: value for key, value in form.items() if key not in ("stats", "settings")}
    state = published_tiny(tiny())
    weights = read_weights(saved(tmp_path / "OSTrack_ep0100.pth.tar", {**plain, "net": state}))
    assert weights.arch == "droptrack" and weights.options["search_size"] == 64
    assert set(to_published("droptrack", weights.network)) == set(state)


class Runs:
    """What must never run while a file is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the file ran')",))


def test_nothing_of_a_training_file_is_executed(tmp_path):
    path = tmp_path / "bad.pth.tar"
    torch.save({"net": OrderedDict(), "stats": Runs()}, path, pickle_module=pickle)
    with pytest.raises(InputError, match="could run code"):
        read_content(path)


def dropmae_state():
    """The published entries; those that are not looked at take a single number on disk."""
    shapes = json.loads((FIXTURES / "dropmae_state_dict.json").read_text())
    looked_at = ("pos_embed", "temporal", "blocks.0.attn.qkv.weight", "patch_embed")
    return {
        key: filled(key, tuple(shape)) if key.startswith(looked_at) else torch.zeros(1).expand(shape)
        for key, shape in shapes.items()
        if not key.startswith("decoder")
    }


@pytest.mark.slow
def test_first_weights_of_dropmae_equal_the_published_ones(tmp_path):
    expected = fixture("droptrack_load_dropmae")
    network = DropTrack()
    report = load_tracker_start(network, saved(tmp_path / "dropmae.pth", {"model": dropmae_state()}))
    state = to_published("droptrack", network.state_dict())
    assert len(report.taken) == 151 and report.left == ("mask_token",)
    assert_within(state["backbone.pos_embed_z"][0, :, ::48], expected["pos_embed_z"], 1e-6)
    assert_within(state["backbone.pos_embed_x"][0, ::5, ::48], expected["pos_embed_x"], 1e-6)
    assert_within(state["backbone.temporal_pos_embed_z"][..., ::16], expected["temporal_z"], 0)
    assert_within(state["backbone.temporal_pos_embed_x"][..., ::16], expected["temporal_x"], 0)
    assert_within(state["backbone.blocks.0.attn.qkv.weight"][::96, ::96], expected["qkv0"], 0)
    assert_within(state["backbone.patch_embed.proj.weight"][::96, :, ::5, ::5], expected["patch"], 0)


def published_tiny(network):
    return to_published("droptrack", network.state_dict())


def test_plain_mae_leaves_the_roles(tmp_path):
    source, network = tiny(1), tiny(2)
    before = network.encoder.query_role.detach().clone()
    state = {
        key.removeprefix("backbone."): value
        for key, value in published_tiny(source).items()
        if key.startswith("backbone.") and "temporal" not in key and not key.endswith(("_z", "_x"))
    }
    load_tracker_start(network, saved(tmp_path / "mae.pth", {"model": state}))
    assert torch.equal(network.encoder.query_role, before)
    assert torch.equal(network.encoder.blocks[0].expand.weight, source.encoder.blocks[0].expand.weight)


def test_ostrack_begins_a_tracker_and_is_one(tmp_path):
    source = tiny(1)
    with torch.no_grad():
        source.encoder.query_role.zero_()
        source.encoder.memory_role.zero_()
    state = {key: value for key, value in published_tiny(source).items() if "temporal" not in key}
    path = saved(tmp_path / "OSTrack_ep0300.pth.tar", {"net": state})
    network = tiny(2)
    assert load_tracker_start(network, path) is None
    template, search = pictures()
    with torch.no_grad():
        for other in (network, load_tracker(path, CPU)):
            torch.testing.assert_close(other(template, search).boxes, source(template, search).boxes)


def test_a_tracker_begins_one_of_other_sizes(tmp_path):
    source, network = tiny(1), tiny(2, template_size=48, search_size=96, keep_rates=(1.0, 1.0, 1.0))
    save_checkpoint(tmp_path / "ours.pth", checkpoint_of(source))
    load_tracker_start(network, tmp_path / "ours.pth")
    assert network.search_positions.shape == (1, 36, WIDTH)
    assert torch.equal(network.head.score[4].weight, source.head.score[4].weight)
    network(*pictures(template=48, search=96))


def test_first_weights_of_another_width_are_refused(tmp_path):
    save_checkpoint(tmp_path / "ours.pth", checkpoint_of(tiny()))
    with pytest.raises(InputError, match="expected droptrack"):
        load_tracker_start(
            DropTrack(backbone="vit_s16", **{k: v for k, v in TINY.items() if k != "backbone"}), tmp_path / "ours.pth"
        )


def test_a_file_that_describes_no_possible_tracker_is_refused(tmp_path):
    network = tiny()
    save_checkpoint(
        tmp_path / "ours.pth", Checkpoint("droptrack", {**network.options, "search_size": 63}, network.state_dict())
    )
    with pytest.raises(InputError, match="does not have: template 32 and search 63"):
        restore_network(read_weights(tmp_path / "ours.pth"), tmp_path / "ours.pth")


def test_from_published_is_lossless():
    network = small_tracker()
    state = network.state_dict()
    back = from_published("droptrack", to_published("droptrack", state))
    assert set(back) == set(state) and all(torch.equal(back[key], value) for key, value in state.items())
