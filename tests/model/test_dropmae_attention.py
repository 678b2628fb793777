"""What the decoder of DropMAE loses while it learns."""

import numpy as np
import pytest
import torch

from model.dropmae import DroppedAttention, draw_dropped, drop_weights, dropped_count
from tests.helpers.deterministic import fixture

DRAWS = 40_000


def attention_of(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(-1)


def within_frames(tokens):
    """Entries of an attention that lie within a frame, between different tokens."""
    frame = torch.arange(tokens) >= tokens // 2
    return (frame[:, None] == frame) & ~torch.eye(tokens, dtype=torch.bool)


def test_weights_are_the_published_ones():
    arrays = fixture("dropseg")
    weights = drop_weights(torch.from_numpy(arrays["dropmae.attn_logits"]).softmax(-1))
    np.testing.assert_allclose(weights, arrays["dropmae.drop_weight"], rtol=1e-6, atol=0)
    assert dropped_count(0.5, 16) == arrays["dropmae.sample_num"]


def test_the_published_share_drops_19_of_195_entries_of_a_row_on_average():
    assert dropped_count(0.1, 392) == 19 * 392
    assert dropped_count(0.0, 392) == dropped_count(0.1, 2) == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_so_many_are_dropped_and_none_between_frames_or_to_itself(share):
    attention = attention_of(3, 2, 24, 24)
    dropped = draw_dropped(drop_weights(attention), dropped_count(share, 24))
    assert dropped.shape == attention.shape
    assert (dropped.sum((-2, -1)) == int(share * 11) * 24).all()
    assert not dropped[..., ~within_frames(24)].any()
    if share == 1.0:
        assert dropped[..., within_frames(24)].all()


def test_draws_follow_the_weights_without_replacement():
    torch.manual_seed(0)
    weights = drop_weights(attention_of(6, 6))
    share = weights.flatten() / weights.sum()
    once = draw_dropped(weights.expand(DRAWS, -1, -1), 1).float().mean(0)
    twice = draw_dropped(weights.expand(DRAWS, -1, -1), 2).float().mean(0)
    expected = share + torch.stack(
        [sum(q * p / (1 - q) for j, q in enumerate(share) if j != i) for i, p in enumerate(share)]
    )
    own = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).bool()
    torch.testing.assert_close(once[own], share, atol=0.01, rtol=0)
    torch.testing.assert_close(twice[own], expected, atol=0.01, rtol=0)


def test_rows_with_a_match_in_the_other_frame_lose_more():
    logits = torch.zeros(20, 20)
    logits[3, 14] = 6.0
    torch.manual_seed(0)
    weights = drop_weights(logits.softmax(-1))
    lost = draw_dropped(weights.expand(500, -1, -1), dropped_count(0.3, 20)).sum(2).float().mean(0)
    others = torch.arange(20) != 3
    assert lost[3] > 2 * lost[others].max()


def attention_layer(share):
    torch.manual_seed(1)
    return DroppedAttention(16, 2, share)


def test_what_is_dropped_takes_no_part_in_the_attention():
    layer, x = attention_layer(0.5), torch.randn(2, 12, 16)
    query, key, value = layer.split(x)
    torch.manual_seed(5)
    dropped = layer.draw(query, key)
    logits = (query @ key.transpose(2, 3) / 8**0.5).masked_fill(dropped, -torch.inf)
    expected = layer.project((logits.softmax(-1) @ value).transpose(1, 2).flatten(2))
    torch.manual_seed(5)
    torch.testing.assert_close(layer(x, 12), expected)
    torch.manual_seed(5)
    torch.testing.assert_close(layer(x, 4), expected[:, -4:])
    assert dropped.any()


def test_nothing_is_dropped_in_evaluation():
    x = torch.randn(2, 12, 16)
    whole = attention_layer(0.0)(x, 12)
    torch.testing.assert_close(attention_layer(0.5).eval()(x, 12), whole)
    assert not torch.allclose(attention_layer(0.5)(x, 12), whole)


def test_the_draw_has_no_gradient_but_what_remains_has():
    layer = attention_layer(0.5)
    x = torch.randn(1, 12, 16, requires_grad=True)
    layer(x, 12).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    assert not layer.draw(*layer.split(x)[:2]).requires_grad
