"""The loop of a training run: batches in, reports and checkpoints out."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datasets.train.clip_sampler import derive_seed
from datasets.train.clips import Sample, to_device
from model.weights.checkpoint import Checkpoint, save_checkpoint
from training.box_trainer import BoxTrainer
from training.click_trainer import ClickTrainer
from training.log import TrainingLogger
from training.pretrainer import Pretrainer
from training.run_folder import BadSamples, RunFolder
from training.trainer import Trainer
from util.distributed import Process, all_wait, mean_over
from util.errors import Stopped, StopSignal

Validate = Callable[[], Mapping[str, float]]


class TrainingLoop:
    """Runs the iterations of one process.

    Args:
        trainer: what learns; its iteration says where the run stands.
        process: this process.
        folder: of the run, None to save nothing.
        logger, bad_samples: where losses and bad samples are reported.
        arguments: the command line, kept in checkpoints.
        validate: measures what has been learned so far; the first measure is the score. None in processes that have no
            part in it.
        best_score: of the validations before; only a better one replaces the best weights.
    """

    def __init__(
        self,
        trainer: Trainer | Pretrainer | ClickTrainer | BoxTrainer,
        process: Process,
        folder: RunFolder | None,
        logger: TrainingLogger,
        bad_samples: BadSamples,
        arguments: Mapping[str, Any],
        validate: Validate | None = None,
        best_score: float = -1.0,
    ) -> None:
        self.trainer = trainer
        self.process = process
        self.folder = folder if process.leads else None
        self.logger = logger
        self.bad_samples = bad_samples
        self.arguments: dict[str, Any] = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
        self.validate = validate
        self.best_score = best_score

    def run(self, loader: DataLoader) -> None:
        """Train to the last iteration, or until a signal asks to stop, and close the logger.

        Raises:
            Stopped: a signal came; the checkpoint is written.
        """
        with closing(self.logger), StopSignal() as signal:
            self._run(iter(loader), signal)

    def _run(self, batches: Iterator[Sample], signal: StopSignal) -> None:
        args = self.arguments
        validates = bool(mean_over(self.process, torch.tensor(float(self.validate is not None))) > 0)  # any process
        while self.trainer.iteration < args["iterations"]:
            torch.manual_seed(derive_seed(args["seed"], self.process.rank, self.trainer.iteration))
            waiting = time.perf_counter()
            parts = [next(batches) for _ in range(args["grad_accum"])]
            self.trainer.stopping = signal.requested
            self._step(parts, time.perf_counter() - waiting)
            stopping = self.trainer.stopping if self.process.distributed else signal.requested
            ending = stopping or self.trainer.iteration == args["iterations"]
            if validates and self._due("val_interval", ending and not stopping):
                with all_wait(self.process):
                    self._validate()
            if self._due("save_interval", ending):
                self._save_weights()
            if self._due("checkpoint_interval", ending):
                self._save_checkpoint()
            if stopping:
                raise Stopped(signal.number, self._resume_hint())

    def _due(self, interval: str, ending: bool) -> bool:
        return ending or self.trainer.iteration % self.arguments[interval] == 0

    def _step(self, parts: list[Sample], waited: float) -> None:
        iteration = self.trainer.iteration + 1
        self.bad_samples.unreadable(iteration, [message for part in parts for message in part["rejected"]])
        batches = [self._batch(part) for part in parts]
        losses, output, updated = self.trainer.step(batches)
        if not updated:
            self.bad_samples.not_finite(iteration, [name for part in parts for name in part["name"]])
            return
        self.bad_samples.updated()
        self.logger.step(iteration, losses, self.trainer.rate, waited)
        if iteration % self.arguments["picture_interval"] == 0:
            self._show(iteration, batches[-1], output)

    def _batch(self, part: Sample) -> dict[str, Tensor]:
        """What the trainer takes."""
        return to_device(part, self.trainer.device)

    def _show(self, iteration: int, batch: dict[str, Tensor], output: Any) -> None:
        """Log what the trainer made of a batch."""
        self.logger.pictures(iteration, batch["frames"], batch["masks"], output.masks, output.quality)

    def _validate(self) -> None:
        if self.validate is None:
            return
        measures = self.validate()
        for name, value in measures.items():
            self.logger.scalar(f"validation_{name}", value, self.trainer.iteration)
        score = next(iter(measures.values()))
        if score > self.best_score:
            self.best_score = score
            if self.folder is not None:
                save_checkpoint(self.folder.best, self._weights(), known=True)

    def _save_weights(self) -> None:
        if self.folder is not None:
            path = self.folder.weights(self.trainer.iteration)
            save_checkpoint(path, self._weights(), known=True)
            print(f"saved {path}", flush=True)

    def _save_checkpoint(self) -> None:
        if self.folder is not None:
            checkpoint = self.trainer.checkpoint(self.arguments)
            checkpoint.best_score = self.best_score
            save_checkpoint(self.folder.checkpoint, checkpoint, previous=self.folder.previous, known=True)

    def _weights(self) -> Checkpoint:
        network = self.trainer.result
        return Checkpoint(network.arch, network.options, network.state_dict(), iteration=self.trainer.iteration)

    def _resume_hint(self) -> str:
        if self.folder is None:
            return "nothing was saved, because the run has no --id"
        return f"resume with --load_model {self.folder.checkpoint}"
