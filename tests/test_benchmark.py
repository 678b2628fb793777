"""The benchmark measures what it says."""

import argparse

import pytest

from scripts.benchmark import STAGES, inference_figures


@pytest.fixture
def arguments():
    return argparse.Namespace(
        backbone="resnet18", size=[32, 48], memory_frames=3, device="cpu", amp="off", warmup=1, repeats=2
    )


@pytest.mark.parametrize("objects", [1, 3])
def test_the_parts_of_a_frame_do_not_exceed_the_whole(arguments, objects):
    figures = inference_figures(arguments, objects)
    assert set(figures.stages) == set(STAGES)
    assert all(seconds > 0 for seconds in figures.stages.values())
    assert sum(figures.stages.values()) < 1.5 * figures.frame
    assert figures.unit > 0
    assert figures.peak_mb > 0
