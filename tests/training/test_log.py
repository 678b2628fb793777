"""Training reports."""

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.log import TrainingLogger
from util.distributed import Process


def losses(value):
    names = ("total_loss", "segmentation_loss", "quality_loss", "quality_gap")
    overlap = {"intersection": torch.tensor([9.0, 4.0]), "union": torch.tensor([19.0, 9.0])}
    return {name: torch.tensor(value) for name in names} | overlap


def test_scalars_are_averaged_over_the_interval_and_pictures_are_written(tmp_path, capsys):
    alone = Process(0, 1, torch.device("cpu"))
    logger = TrainingLogger(tmp_path, alone, start=0, total=4, interval=2, batch=8)
    for iteration, value in enumerate((1.0, 3.0, 5.0, 5.0), 1):
        logger.step(iteration, losses(value), 1e-3, 0.25)
    frames, truth = torch.zeros(1, 3, 3, 16, 24), torch.zeros(1, 3, 2, 16, 24)
    truth[:, :, 0, 4:8, 4:8] = 1
    logger.pictures(4, frames, truth, truth[:, 1:], torch.ones(1, 2, 2))
    logger.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for event in events.Scalars("train/total_loss")] == [2.0, 5.0]
    assert [round(event.value, 4) for event in events.Scalars("train/sec_iou")] == [round(9 / 19, 4)] * 2
    assert events.Images("train/true_above_predicted")
    assert "iteration 4: total_loss 5.0000" in capsys.readouterr().out
