"""How scripts end when something is wrong."""

import errno
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.failures import failure_line
from util.errors import InputError, describe, run

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    path for folder in (ROOT, ROOT / "scripts") for path in folder.glob("*.py") if "run(main)" in path.read_text()
]


def failing(error):
    def main():
        raise error

    return main


def script(code, **options):
    """Run lines of Python in a process of their own, between the imports and the end of a script."""
    lines = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport util.startup\nfrom util.errors import *\n{code}"
    return subprocess.Popen([sys.executable, "-c", lines], text=True, **options)


def cannot_be_allocated():
    torch.empty(2**50)


def overflows():
    torch.empty(2**40, 2**40)


def cannot_be_allocated_by_numpy():
    np.empty(2**55)


@pytest.mark.parametrize("main", [cannot_be_allocated, overflows, cannot_be_allocated_by_numpy, failing(MemoryError())])
def test_memory_that_is_not_there_ends_in_a_line(capsys, main):
    assert "there is not enough memory" in failure_line(capsys, main)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"), "memory for 20.00 GiB;"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "fewer workers"),
        (BrokenProcessPool("A process in the process pool was terminated abruptly while"), "fewer workers"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9), "xxxxxxxxx is too long"),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "no space left while writing a.png"),
    ],
)
def test_what_the_machine_lacks_is_said_in_a_line(capsys, error, words):
    assert words in failure_line(capsys, failing(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("wrong"), KeyError("a"), OSError("torn")])
def test_faults_of_the_program_are_shown_as_such(error):
    assert describe(error) is None
    with pytest.raises(type(error)):
        run(failing(error))


def test_the_sentence_of_a_loader_process_stands_alone(capsys):
    wrapped = "Caught InputError in DataLoader worker 0.\nOriginal Traceback\n  line\nutil.errors.InputError: a is b\n"
    assert failure_line(capsys, failing(InputError(wrapped))) == "error: a is b"


def test_names_with_line_breaks_stay_in_one_line(capsys):
    assert failure_line(capsys, failing(InputError("a\nb\x1b[2J.png is torn"))) == r"error: a\nb\x1b[2J.png is torn"


def test_a_name_that_is_no_text_can_be_printed():
    done = script("run(lambda: print('a\\udcff.png'))", stdout=subprocess.PIPE)
    assert (done.communicate()[0], done.returncode) == ("a\\udcff.png\n", 0)


def test_a_name_that_cannot_be_written_is_told(capsys):
    def main():
        "a\udcff.png".encode()

    assert r"the name 'a\udcff.png' holds what is no text" in failure_line(capsys, main)


@pytest.mark.parametrize("call", ["print('a')", "(print('a'), sys.exit(0))", "print('a', flush=True)"])
def test_a_reader_that_leaves_ends_a_script_in_a_line(call):
    reader, writer = os.pipe()
    os.close(reader)
    done = script(f"run(lambda: {call})", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.communicate()[1] == "stopped: the program that reads the output has ended\n"
    assert done.returncode == 141


def test_a_reader_of_the_errors_that_leaves_changes_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    done = script("def main(): raise InputError('a')\nrun(main)", stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.communicate()[0], done.returncode) == ("", 2)


def test_a_stopped_run_whose_reader_has_left_ends_with_the_code_of_its_signal():
    reader, writer = os.pipe()
    os.close(reader)
    done = script("def main(): raise Stopped(15, 'a')\nrun(main)", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.communicate()[1], done.returncode) == ("", 143)


@pytest.mark.parametrize("closed", [1, 2])
def test_what_is_printed_to_a_closed_stream_never_ends_up_in_a_file(tmp_path, closed):
    code = f"stream = open({str(tmp_path / 'file')!r}, 'w')\nimport os\nrun(lambda: os.write({closed}, b'noise'))"
    lines = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport util.startup\nfrom util.errors import *\n{code}"
    command = f'exec "$0" -c "$1" {closed}>&-'
    assert subprocess.run(["sh", "-c", command, sys.executable, lines], check=False).returncode == 0
    assert (tmp_path / "file").read_text() == ""


def test_a_full_disk_under_the_output_is_told():
    with Path("/dev/full").open("w") as full:
        done = script("run(lambda: print('a'))", stdout=full, stderr=subprocess.PIPE)
    assert done.communicate()[1].startswith("error: no space left")
    assert done.returncode == 2


def test_an_interrupt_while_libraries_load_leaves_no_traceback():
    done = script("raise KeyboardInterrupt", stderr=subprocess.PIPE)
    assert (done.communicate()[1], done.returncode) == ("", 130)


def test_other_errors_while_libraries_load_are_shown():
    done = script("raise ImportError('no such library')", stderr=subprocess.PIPE)
    assert "ImportError: no such library" in done.communicate()[1]
    assert done.returncode == 1


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_ready_before_it_imports_anything_slow(path):
    imported = [line.split()[1] for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
    first = imported.index("util.startup")
    assert set(imported[:first]) <= sys.stdlib_module_names | {
        "collections.abc",
        "concurrent.futures",
        "importlib.util",
    }
