"""Memory banks whose entries tell the frame they are from."""

import random

import torch

from model.memory.bank import MemoryBank
from model.memory.options import MemoryOptions
from model.memory.read import MemoryEntry

POSITIONS = 3
REFERENCE = 0.5


def entry(frame, *scores, objects=2):
    """An entry whose key is tagged with its frame, and whose value with the frame's negative."""
    key = torch.full((1, objects, POSITIONS, 2), float(frame))
    return MemoryEntry(key, -key[..., :1], torch.tensor([scores]) if scores else None)


def settled(**options):
    """Options of a memory for a network with a scorer."""
    return MemoryOptions(**options).settled(policy=None, keeps_previous=True, has_scorer=True)


def annotated_bank(kind=MemoryBank, **options):
    bank = kind(settled(**options))
    bank.annotate(0, entry(0, REFERENCE))
    return bank


def feed(bank, ratios, start=1):
    """Remember one frame after the other, each with a quality relative to the annotated frame's."""
    return [bank.remember(t, entry(t, REFERENCE * ratio)) for t, ratio in enumerate(ratios, start)]


def random_ratios(count, seed, low=0.5, high=1.5):
    """Relative qualities that float32 scores represent exactly."""
    numbers = random.Random(seed)
    return [round(numbers.uniform(low, high) * 4096) / 4096 for _ in range(count)]


def tags(bank):
    """The frames that the memory view really holds, in ascending order; checks that slots are whole."""
    key, value, _ = bank.memory
    assert torch.equal(value, -key[..., :1])
    slots = key[0].unflatten(1, (-1, POSITIONS)).flatten(2)
    assert (slots == slots[:1, :, :1]).all()
    return sorted(slots[0, :, 0].tolist())


def told(event):
    """What a bank says of a frame: where it is, whose slot it took, its relative quality."""
    return event.stored, event.evicted, event.relative_quality
