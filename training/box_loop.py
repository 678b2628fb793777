"""What the training of a box tracker adds to the loop: its batches, when weights are saved, pictures, validation."""

import argparse
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.boxes.pairs import BoxPairs, box_pairs_to_device, collate_box_pairs
from datasets.train.clip_sampler import SampleRequest, derive_seed
from datasets.train.clips import Sample
from model.droptrack import Prediction
from training.box_losses import corners_of_boxes, corners_of_centres
from training.box_trainer import BoxTrainer, saved_epochs
from training.loop import TrainingLoop
from training.run import load_batches
from util.distributed import Process, mean_over
from util.tensors import denormalise

SHOWN_PAIRS = 4
TRUE_COLOUR, FOUND_COLOUR = (0, 230, 0), (255, 60, 60)
VALIDATION_SEED = -1  # beside iterations, which are counted from 0


class BoxLoop(TrainingLoop):
    """The loop of a tracker's training; see `TrainingLoop`."""

    trainer: BoxTrainer

    def _batch(self, part: Sample) -> dict[str, Tensor]:
        return box_pairs_to_device(part, self.trainer.device)

    def _due(self, interval: str, ending: bool) -> bool:
        if interval != "save_interval":
            return super()._due(interval, ending)
        args = self.arguments
        epoch, step = divmod(self.trainer.iteration, args["steps_per_epoch"])
        wanted = {"interval": args["save_epoch_interval"], "also": args["save_epochs"], "last": args["save_last"]}
        return ending or (step == 0 and epoch in saved_epochs(args["epochs"], **wanted))

    def _show(self, iteration: int, batch: Mapping[str, Tensor], output: Prediction) -> None:
        self.logger.grid("template_search_score", pair_pictures(batch, output)[: 3 * SHOWN_PAIRS], 3, iteration)


def pair_pictures(batch: Mapping[str, Tensor], output: Prediction) -> list[Tensor]:
    """For each pair three pictures (3,S,S), uint8: the template, the search region, and the score over its grey.

    Boxes are drawn in the first two: true ones green, what was found red.
    """
    size = batch["search"].shape[-1]
    templates = denormalise(batch["template"].float()).cpu()
    searches = denormalise(batch["search"].float()).cpu()
    template_boxes = corners_of_boxes(batch["template_box"]).cpu() * templates.shape[-1]
    true_boxes = corners_of_boxes(batch["search_box"]).cpu() * size
    found_boxes = corners_of_centres(output.boxes.detach().float()).cpu() * size
    scores = F.interpolate(output.maps.score.detach().float().cpu(), (size, size)).squeeze(1)
    pictures = []
    for number, (template, search) in enumerate(zip(templates, searches, strict=True)):
        small = _with_boxes(template, [(template_boxes[number], TRUE_COLOUR)])
        pictures.append(F.interpolate(small[None].float(), (size, size)).squeeze(0).to(torch.uint8))
        pictures.append(_with_boxes(search, [(true_boxes[number], TRUE_COLOUR), (found_boxes[number], FOUND_COLOUR)]))
        heat = cv2.applyColorMap((scores[number] * 255).to(torch.uint8).numpy(), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        grey = search.float().mean(0).numpy()[..., None]
        mixed = (0.6 * heat + 0.4 * grey).astype(np.uint8)
        pictures.append(torch.from_numpy(mixed).permute(2, 0, 1))
    return pictures


def _with_boxes(picture: Tensor, boxes: Sequence[tuple[Tensor, tuple[int, int, int]]]) -> Tensor:
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    for corners, colour in boxes:
        left, top, right, bottom = corners.clamp(-1e4, 1e4).round().int().tolist()
        cv2.rectangle(pixels, (left, top), (right, bottom), colour, 1)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def build_validation(
    data: BoxPairs | None, args: argparse.Namespace, process: Process, trainer: BoxTrainer
) -> Callable[[], dict[str, float]] | None:
    """What measures a run on the same pairs every time; every process takes its share of them."""
    if data is None:
        return None
    requests = [
        SampleRequest(number, derive_seed(args.seed, VALIDATION_SEED, number), 0, 1)
        for number in range(process.rank, len(data), process.world)
    ]
    size = args.batch_size
    batches = [requests[first : first + size] for first in range(0, len(requests), size)]

    def validate() -> dict[str, float]:
        loader = load_batches(data, batches, args, process, collate_box_pairs)
        sums, count = trainer.validate(box_pairs_to_device(batch, trainer.device) for batch in loader)
        total = mean_over(process, torch.tensor(float(count)))
        means = {name: (mean_over(process, sums[name]).cpu() / total).item() for name in ("iou", *sorted(sums))}
        if process.leads:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"validation after iteration {trainer.iteration}: {shown}", flush=True)
        return means

    return validate
