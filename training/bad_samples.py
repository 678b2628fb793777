"""Samples that could not be read or spoilt an iteration: named, written down, and too many of them end the run."""

import logging
from collections.abc import Sequence

from training.run_folder import RunFolder
from util.errors import InputError

logger = logging.getLogger(__name__)


class Incidents:
    """Counts incidents of one process.

    Args:
        folder: of the run, None to write nothing down.
        rank: number of this process.
        max_unreadable: most samples that may be unreadable; a sample counts once.
        max_not_finite: most iterations in a row with a loss or gradient that is not finite.
    """

    def __init__(self, folder: RunFolder | None, rank: int, *, max_unreadable: int, max_not_finite: int) -> None:
        self._folder = folder
        self._rank = rank
        self._max_unreadable, self._max_not_finite = max_unreadable, max_not_finite
        self._unreadable: set[str] = set()
        self._not_finite = 0

    def unreadable(self, iteration: int, messages: Sequence[str]) -> None:
        """Take what was wrong with the samples that were replaced in an iteration.

        Raises:
            InputError: there have been too many.
        """
        new = [message for message in dict.fromkeys(messages) if message not in self._unreadable]
        self._unreadable.update(new)
        for message in new:
            logger.warning("%s; another sample takes its place", message)
        where = self._note("unreadable", iteration, new)
        if len(self._unreadable) > self._max_unreadable:
            raise InputError(f"more than {self._max_unreadable} samples cannot be read{where}; mend the data")

    def updated(self) -> None:
        """An iteration went well."""
        self._not_finite = 0

    def not_finite(self, iteration: int, names: Sequence[str]) -> None:
        """Take the samples of an iteration that was skipped, its loss or gradient not being finite.

        Raises:
            InputError: there have been too many in a row.
        """
        self._not_finite += 1
        logger.warning("iteration %d: loss or gradient not finite, skipped (%s)", iteration, ", ".join(names))
        where = self._note("not_finite", iteration, names)
        if self._not_finite >= self._max_not_finite:
            raise InputError(
                f"{self._not_finite} iterations in a row had a loss or gradient that is not finite{where}; "
                "lower --lr, look at the samples, or train without --amp fp16"
            )

    def _note(self, kind: str, iteration: int, samples: Sequence[str]) -> str:
        if self._folder is None or not samples:
            return ""
        return f", see {self._folder.note_samples(kind, self._rank, iteration, samples)}"
