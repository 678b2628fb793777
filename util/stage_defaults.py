"""Published hyper-parameters of each network and stage."""

from typing import NamedTuple


class StageDefaults(NamedTuple):
    """Batch size of a process, iterations, iterations at which the rate falls, the rate; decay, objective and loss."""

    batch_size: int
    iterations: int
    steps: tuple[int, ...]
    lr: float
    weight_decay: float = 1e-7
    objective: str = "forward"
    loss: str = "bootstrapped"


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
STM_CYCLE = {2: StageDefaults(4, 226_000, (), 1e-5, 5e-4, "cycle", "both")}
# QDMN (ECCV 2022), Mask-Propagation (CVPR 2021), STCN (NeurIPS 2021), STM-Cycle (NeurIPS 2020: 240 epochs)
STAGES = {"qdmn": QDMN, "qdmn_small": QDMN, "mask_propagation": MASK_PROPAGATION, "stcn": STCN, "stm_cycle": STM_CYCLE}
