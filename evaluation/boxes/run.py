"""The results of a run over a tree of boxes: boxes and times, and masks where they are wanted."""

from pathlib import Path

from datasets.boxes.dataset import BoxDataset
from datasets.test.annotated_video import AnnotatedVideo
from evaluation.boxes.results import LAYOUTS, MaskWriter, TrackWriter, export, read_result, result_files
from evaluation.boxes.scores import report_scores, score_tree
from evaluation.result_folder import beside
from evaluation.run import MaskResults
from evaluation.scoring import score_folder
from evaluation.writers import Writer


class BoxResults(MaskResults):
    """Two files for each video, see `evaluation.boxes.results`; its videos want no masks.

    Args:
        dataset: the videos.
        mask_folder: where the masks of all frames are kept; None for nowhere.
        compat: score as the published analysis does, see `score_tree`.
    """

    def __init__(self, dataset: BoxDataset, mask_folder: Path | None = None, *, compat: bool = False) -> None:
        super().__init__(dataset)
        self._tree, self._boxes = dataset.tree, dataset.boxes
        self._mask_folder = mask_folder
        self._compat = compat

    def require_truth(self) -> None:
        """True boxes are asked for when the command line is read."""

    def files(self, video: AnnotatedVideo) -> list[str]:
        """See `MaskResults`."""
        return result_files(video.name)

    def writers(self, video: AnnotatedVideo, folder: Path) -> list[Writer]:
        """See `MaskResults`."""
        writers: list[Writer] = [TrackWriter(folder, video.name, self._boxes[video.name])]
        if self._mask_folder is not None:
            writers.append(MaskWriter(self._mask_folder / video.name))
        return writers

    def pack(self, output: Path) -> Path:
        """See `MaskResults`; the server of TrackingNet wants another form than that of GOT-10k."""
        if self._tree.kind != "trackingnet":
            return super().pack(output)
        archive = beside(output, ".zip")
        results = {name: read_result(output, name) for name in self._tree.names}
        export(LAYOUTS["trackingnet"], archive, results, "tracker", "default")
        return archive

    def score(self, output: Path) -> None:
        """Print and save the scores of the boxes.

        Raises:
            InputError: there are no true boxes, or annotations or results cannot be used.
        """
        scores = score_tree(self._tree, output, output.absolute().name, compat=self._compat)
        report_scores([scores], score_folder(output), self.dataset.split)
