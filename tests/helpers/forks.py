"""Scripts in processes forked from this one, which has loaded the libraries already: they start in no time.

They are processes like those that a user starts, to be killed and signalled; only how a script is found and begins is
left out. They know what the test has patched.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback

import cv2
import torch

from util.errors import run


class Fork:
    """A script at work.

    Args:
        main: of the script.
        folder: where it runs.
        arguments: its command line.
        environment: variables that it has besides those of this process.

    Attributes:
        pid: of its process.
        stdout: a stream of what it prints, to stdout and stderr.
        returncode: once `communicate` is over; that of a signal is negative.
    """

    def __init__(self, main, folder, arguments, environment=None):
        reader, writer = os.pipe()
        given = (main, folder, [str(word) for word in arguments], environment or {}, writer)
        self._process = multiprocessing.get_context("fork").Process(target=_perform, args=given)
        self._process.start()
        os.close(writer)
        self.pid, self.returncode = self._process.pid, None
        self.stdout = open(reader)  # noqa: SIM115, PTH123 (communicate closes it)

    def communicate(self, timeout):
        """Wait for the end; returns the rest of the output, and None as subprocess does for stderr."""
        deadline = threading.Timer(timeout, self._process.kill)
        deadline.start()
        with self.stdout:
            rest = self.stdout.read()
        self._process.join()
        deadline.cancel()
        self.returncode = self._process.exitcode
        return rest, None

    def poll(self):
        """The exit code; None while it is at work."""
        return self._process.exitcode

    def send_signal(self, number):
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _perform(main, folder, arguments, environment, output):
    """What a new process does; pools of threads are not inherited, so it has one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    os.chdir(folder)
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = ["script", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 0
    try:
        run(main)
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for loader in multiprocessing.active_children():
        loader.kill()
    os._exit(code)  # what this process would tidy up belongs to the one it was forked from


def use_warm_processes(patch):
    """Until `patch` is undone, spawned processes come from a server that has loaded the benchmark; else they are alike.

    What they are given is pickled, and they know nothing of what the test has patched.
    """
    multiprocessing.set_forkserver_preload(["pytest", "scripts.bench.speed", "scripts.bench.stream"])
    usual, warm = multiprocessing.get_context, multiprocessing.get_context("forkserver")
    patch.setattr(multiprocessing, "get_context", lambda method=None: warm if method == "spawn" else usual(method))


def fork_all(world, main, folder, arguments):
    """Start the processes of one run, as torch.distributed.launch does; the first is the one that prints."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    shared = place | {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    return [
        Fork(
            main,
            folder,
            [f"--local-rank={rank}", *arguments],
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(world)
    ]


def run_all(world, main, folder, arguments, timeout=200):
    """Run the processes of one run to their end; returns what the first printed, after all have ended well."""
    forks = fork_all(world, main, folder, arguments)
    outputs = [fork.communicate(timeout)[0] for fork in forks]
    assert [fork.returncode for fork in forks] == [0] * world, outputs
    return outputs[0]
