"""What an inference core tells of a frame."""

from dataclasses import dataclass

from model.memory.objects import BankReport


@dataclass(frozen=True)
class FrameReport:
    """What happened on a frame.

    Attributes:
        frame: its index in the stream, from 0.
        objects: ids of the objects, in the order of the rows of the probabilities.
        quality: predicted mask IoU of each object; empty when the network has no scorer or was not asked.
        banks: what happened to the memory of all objects, in their order.
    """

    frame: int
    objects: tuple[int, ...]
    quality: tuple[float, ...]
    banks: tuple[BankReport, ...]
