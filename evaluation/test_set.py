"""What a test set looks like to the run over it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from evaluation.video import Video
from evaluation.writers import Recorder


class Dataset(Protocol):
    """A test set as `datasets.test.davis_test_dataset.DavisTestDataset` describes it.

    Attributes:
        videos: in the order of their list.
        split: name of the set in score tables.
        merged: all labels are one object; results are 0/255.
        inputs: folders that are never written to.
        truth: folder of the true masks, one folder for each video.
        archive_folder: folder within the archive for the server.
    """

    videos: Sequence[Video]
    split: str
    merged: bool
    inputs: Sequence[Path]
    truth: Path
    archive_folder: str


@runtime_checkable
class NotedMasks(Protocol):
    """A test set that says what the masks hold with which its videos begin."""

    def lines_on_masks(self, videos: Sequence[Video]) -> list[str]:
        """A line for each mask of these of its videos, the surprising ones first; many are cut short."""
        ...


@runtime_checkable
class OwnResults(Protocol):
    """A test set whose results and whose truth are not masks; its videos want none (see `Video.wants`)."""

    def result_files(self, video: Video) -> list[str]:
        """Names of the files in the folder of a finished video."""
        ...

    def recorders(self, video: Video, folder: Path) -> Sequence[Recorder]:
        """What writes these files into the folder, and whatever else beside it."""
        ...

    def score(self, output: Path) -> None:
        """Print and save the scores of a finished run.

        Raises:
            InputError: there is no truth, or a file cannot be used.
        """
        ...
