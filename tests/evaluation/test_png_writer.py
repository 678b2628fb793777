"""Writing masks in the background."""

import errno
import threading

import numpy as np
import pytest

from datasets.mask_files import read_ids, write_ids
from evaluation.segment import PngWriter

MASK = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_all_masks_are_on_disk_when_the_writer_closes(tmp_path):
    with PngWriter(write_ids) as writer:
        for index in range(20):
            writer.write(tmp_path / f"{index}.png", MASK + index)
    for index in range(20):
        np.testing.assert_array_equal(read_ids(tmp_path / f"{index}.png"), MASK + index)


def fail_to_save(path, mask):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_closing_raises_what_went_wrong_and_names_the_file(tmp_path):
    writer = PngWriter(fail_to_save)
    writer.write(tmp_path / "a.png", MASK)
    with pytest.raises(OSError, match=r"a\.png") as raised:
        writer.close()
    assert raised.value.errno == errno.ENOSPC


def test_writing_goes_on_failing_after_a_failure(tmp_path):
    writer = PngWriter(fail_to_save, capacity=1)
    writer.write(tmp_path / "a.png", MASK)
    for _ in range(2):
        with pytest.raises(OSError, match=r"a\.png"):
            writer.write(tmp_path / "b.png", MASK)


def test_an_error_of_the_caller_is_not_hidden_and_drops_what_waits(tmp_path):
    gate, saved = threading.Event(), []

    def save(path, mask):
        gate.wait(10)
        saved.append(path)

    def write_and_stumble():
        with PngWriter(save, threads=1) as writer:
            for index in range(5):
                writer.write(tmp_path / f"{index}.png", MASK)
            threading.Timer(0.05, gate.set).start()
            raise KeyError("caller")

    with pytest.raises(KeyError, match="caller"):
        write_and_stumble()
    assert len(saved) <= 1


def test_write_blocks_while_the_writer_is_full(tmp_path):
    gate = threading.Event()
    with PngWriter(lambda path, mask: gate.wait(10), capacity=2) as writer:
        for index in range(2):
            writer.write(tmp_path / f"{index}.png", MASK)
        third = threading.Thread(target=writer.write, args=(tmp_path / "2.png", MASK))
        third.start()
        third.join(0.1)
        assert third.is_alive()
        gate.set()
        third.join(10)
        assert not third.is_alive()
