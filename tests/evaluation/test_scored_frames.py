"""Which frames of a sequence the scores of an object are of."""

import numpy as np
import pytest

from datasets.mask_files import write_ids
from evaluation.scoring import pair_frames, score_sequence

FRAMES = 6


@pytest.fixture
def masks(tmp_path):
    """Mask files of a sequence in which object 1 is there from the start and object 2 from frame 3 on."""
    paths = [tmp_path / f"{frame:05d}.png" for frame in range(FRAMES)]
    for frame, path in enumerate(paths):
        ids = np.zeros((16, 24), np.uint8)
        ids[2:8, 2:8] = 1
        ids[2:8, 12:18] = 2 if frame >= 3 else 0
        write_ids(path, ids)
    return paths


@pytest.mark.parametrize(("skip_ends", "first", "last"), [(True, (1, 4), 4), (False, (0, 4), 5)])
def test_scores_know_the_names_of_their_frames(masks, skip_ends, first, last):
    scores = score_sequence("cat", masks, masks, skip_ends=skip_ends)
    expected = [tuple(f"{frame:05d}" for frame in range(start, last + 1)) for start in first]
    assert [score.frames for score in scores] == expected
    assert [len(score.j_values) for score in scores] == [len(names) for names in expected]


def test_only_the_wanted_frames_are_paired(masks):
    truths, results = pair_frames(masks[0].parent, masks[0].parent, {masks[2].name, masks[4].name})
    assert truths == results == [masks[2], masks[4]]
