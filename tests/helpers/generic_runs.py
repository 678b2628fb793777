"""Runs of eval_generic.py with a core that needs no network."""

import eval_generic
from evaluation import cores
from tests.helpers.davis_trees import FAKE_NETWORK, FakeCore, make_mask

NAMES = tuple(f"shot{number}" for number in range(8, 14))
MASK = make_mask(objects=(2, 5))
SIZE = MASK.shape


class SeenCore(FakeCore):
    """Notes for each pass the brightness of its frames, and for each frame the ids of given masks."""

    passes: list

    def __init__(self, network, memory, **options):
        super().__init__(network, memory, **options)
        self.notes = []
        SeenCore.passes.append(self.notes)

    def step(self, image, mask=None, objects=None):
        brightness = round((image[0].mean().item() * 0.229 + 0.485) * 25.5)
        self.notes.append((brightness, objects))
        return super().step(image, mask, objects)


def use_seen_core(monkeypatch):
    """The script builds the core that notes what it sees."""
    SeenCore.passes = []
    monkeypatch.setattr(cores, "load_network", lambda path, device: FAKE_NETWORK)
    monkeypatch.setattr(eval_generic, "InferenceCoreYV", SeenCore)


def evaluate(source, output, *flags):
    eval_generic.main(["--input", str(source), "--output", str(output), "--device", "cpu", *map(str, flags)])
