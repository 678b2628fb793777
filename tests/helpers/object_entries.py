"""Memories of objects whose entries tell frame and object."""

import torch

from model.memory.bank import ObjectMemory
from model.memory.read import MemoryEntry
from tests.helpers.bank_entries import settled

POSITIONS = 2


def entry(frame, objects, scores=None):
    """An entry of named objects whose keys tell the frame and whose values tell the object."""
    names = torch.tensor([float(k) for k in objects]).view(1, -1, 1, 1).expand(1, -1, POSITIONS, 3)
    quality = None if scores is None else torch.tensor([scores], dtype=torch.float64)
    return MemoryEntry(torch.full((1, len(objects), POSITIONS, 2), float(frame)), names, quality)


def remember(memory, frame, given=(), scores=None):
    """Put a frame into the memory; all qualities are 0.5 unless told."""
    memory.add([k for k in given if k not in memory.objects])
    scores = [0.5] * len(memory.objects) if scores is None else scores
    return {
        k: report
        for report in memory.update(frame, entry(frame, memory.objects, scores), given)
        for k in report.objects
    }


def remembered(memory):
    """For each object the frames that its memory really holds."""
    found = {}
    for row, k in enumerate(memory.objects):
        (rows,) = memory.memories(row, row + 1)
        assert (rows.value == k).all()
        frames = rows.key[0, 0, ::POSITIONS, 0].tolist()
        assert rows.key.shape[2] == len(frames) * POSITIONS
        found[k] = sorted(round(frame) for frame in frames)
    return found


def eager(**options):
    return ObjectMemory(settled(**{"mem_every": 1, **options}))
