"""Scripts in processes from a server that has loaded the libraries already: they start in no time.

They are processes like those that a user starts, to be killed and signalled; only how a script is found and begins is
left out. The server has tested nothing, so that no thread and no lock of a test is inherited. They do not know what a
test has patched, but for `patches`.
"""

import functools
import multiprocessing
import multiprocessing.forkserver
import os
import pkgutil
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch

from util.errors import run

PROJECT = Path(__file__).resolve().parents[2]
PRELOADED = ["pytest", "train", "train_dropmae", "train_droptrack", "eval_generic", "eval_boxes"]
PRELOADED += ["scripts.bench.inference", "scripts.bench.speed", "scripts.bench.stream", "tests.helpers.warm_processes"]


@functools.cache
def warm_context():
    """The context of processes from the server, which is started now."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    paths = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    with mock.patch.dict(os.environ, {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}):
        multiprocessing.forkserver.ensure_running()
    return context


class WarmProcess:
    """A script at work.

    Args:
        main: of the script.
        folder: where it runs.
        arguments: its command line.
        environment: variables that it has besides those of this process.
        patches: context managers that are entered around it, by name: `module:attribute`.

    Attributes:
        pid: of its process.
        stdout: a stream of what it prints, to stdout and stderr.
        returncode: once `communicate` is over; that of a signal is negative.
    """

    def __init__(self, main, folder, arguments, environment=None, patches=()):
        context = warm_context()
        reader, writer = context.Pipe(duplex=False)
        variables = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
        given = (main, folder, [str(word) for word in arguments], variables, patches, writer)
        self._process = context.Process(target=_perform, args=given)
        self._process.start()
        writer.close()
        self.pid, self.returncode = self._process.pid, None
        self.stdout = open(os.dup(reader.fileno()))  # noqa: SIM115, PTH123 (communicate closes it)
        reader.close()

    def communicate(self, timeout):
        """Wait for the end; returns the rest of the output."""
        deadline = threading.Timer(timeout, self._process.kill)
        deadline.start()
        with self.stdout:
            rest = self.stdout.read()
        self._process.join()
        deadline.cancel()
        self.returncode = self._process.exitcode
        return rest

    def poll(self):
        """The exit code; None while it is at work."""
        return self._process.exitcode

    def send_signal(self, number):
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _perform(main, folder, arguments, environment, patches, output):
    """What a new process does."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # of loaders, as in any other process
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = ["script", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(pkgutil.resolve_name(patch))
        code = 0
        try:
            run(main)
        except SystemExit as ended:
            code = ended.code
    sys.exit(code)  # when nothing holds the loaders any longer, which end by themselves


def use_warm_processes(patch):
    """Until `patch` is undone, spawned processes come from the server; else they are alike."""
    usual, warm = multiprocessing.get_context, warm_context()
    patch.setattr(multiprocessing, "get_context", lambda method=None: warm if method == "spawn" else usual(method))


def free_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_all(processes, main, folder, arguments, patches=()):
    """Start the processes of one run, as torch.distributed.launch does; the first is the one that prints."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [
        WarmProcess(
            main,
            folder,
            [f"--local-rank={rank}", *arguments],
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            patches,
        )
        for rank in range(processes)
    ]


def complete(processes, timeout=200):
    """Wait for the processes of one run; returns what the first printed, after all have ended well."""
    outputs = [process.communicate(timeout) for process in processes]
    assert not any(process.returncode for process in processes), outputs
    return outputs[0]
