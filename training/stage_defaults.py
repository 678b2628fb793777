"""Published hyper-parameters of each network and stage."""

from typing import NamedTuple


class StageDefaults(NamedTuple):
    """Published values of one stage of one network.

    Attributes:
        batch_size: of a process.
        iterations: of the stage.
        steps: iterations at which the rate falls.
        lr, weight_decay: of the optimiser.
        objective, loss: what is learned.
        image_size: height and width of training frames, in pixels.
        num_objects: most objects of a clip of a video.
        skip_growth: epochs after which the frame skips grow, 0 where they follow a list.
        clip_draw, augmentation: those of MiVOS, of STM-Cycle or, the first alone, of DropSeg.
        clip_length: frames of a clip.
        backbone: of the network.
    """

    batch_size: int
    iterations: int
    steps: tuple[int, ...]
    lr: float
    weight_decay: float = 1e-7
    objective: str = "forward"
    loss: str = "bootstrapped"
    image_size: tuple[int, int] = (384, 384)
    num_objects: int = 2
    skip_growth: int = 0
    clip_draw: str = "mivos"
    augmentation: str = "mivos"
    clip_length: int = 3
    backbone: str = "resnet50"


QDMN = {
    0: StageDefaults(14, 160_000, (250_000,), 2e-5),
    1: StageDefaults(8, 250_000, (450_000,), 2e-5),
    2: StageDefaults(8, 150_000, (70_000,), 2e-5),
}
MASK_PROPAGATION = {
    0: StageDefaults(7, 300_000, (250_000,), 1e-5),
    1: StageDefaults(4, 500_000, (450_000,), 1e-5),
    2: StageDefaults(4, 150_000, (125_000,), 1e-5),
}
STCN = {
    0: StageDefaults(8, 300_000, (150_000,), 1e-5),
    1: StageDefaults(4, 500_000, (400_000,), 1e-5),
    2: StageDefaults(4, 300_000, (250_000,), 1e-5),
    3: StageDefaults(4, 150_000, (125_000,), 1e-5),
}
STM_CYCLE_DATA = {
    "image_size": (240, 427),
    "num_objects": 5,
    "skip_growth": 5,
    "clip_draw": "stm_cycle",
    "augmentation": "stm_cycle",
}
STM_CYCLE = {
    stage: StageDefaults(4, iterations, (), 1e-5, 5e-4, "cycle", "both", **STM_CYCLE_DATA)
    for stage, iterations in ((0, 100_000), (2, 226_000))
}
PAIRS = {"clip_draw": "dropseg", "clip_length": 2, "backbone": "vit_b16"}
DROPSEG = {
    0: StageDefaults(4, 300_000, (150_000,), 1e-5, **PAIRS),
    1: StageDefaults(4, 500_000, (400_000,), 1e-5, **PAIRS),
    2: StageDefaults(4, 300_000, (250_000,), 1e-5, **PAIRS),
    3: StageDefaults(4, 210_000, (125_000,), 2e-5, **PAIRS),
}
# QDMN (ECCV 2022), Mask-Propagation (CVPR 2021), STCN (NeurIPS 2021), STM-Cycle (NeurIPS 2020: 240 epochs),
# DropSeg (with DropMAE, CVPR 2023)
STAGES = {
    "qdmn": QDMN,
    "qdmn_small": QDMN,
    "mask_propagation": MASK_PROPAGATION,
    "stcn": STCN,
    "stm_cycle": STM_CYCLE,
    "dropseg": DROPSEG,
}
