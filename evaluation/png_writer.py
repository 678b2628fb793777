"""Writing mask files while the next frames are segmented."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType

import numpy as np


class PngWriter:
    """Writes masks on background threads; `write` blocks while `capacity` masks wait.

    A failure to write is raised by the next `write` or by `close`. Leaving the `with` block closes the writer;
    leaving it by an exception drops the masks that still wait.

    Args:
        save: writes one mask, e.g. `datasets.mask_files.write_ids`; called as `save(path, mask)`.
        threads: masks written at the same time.
        capacity: masks that may wait or be in work.
    """

    def __init__(self, save: Callable[[Path, np.ndarray], None], *, threads: int = 2, capacity: int = 8) -> None:
        self._save = save
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="png")
        self._free = BoundedSemaphore(capacity)
        self._failure: BaseException | None = None

    def write(self, path: Path, mask: np.ndarray) -> None:
        """Queue `mask`, (H, W) uint8 or bool, which the caller must not change afterwards.

        Raises:
            OSError: an earlier mask could not be written.
        """
        self._free.acquire()
        try:
            self._raise_failure()
            self._pool.submit(self._save_named, path, mask).add_done_callback(self._finished)
        except BaseException:
            self._free.release()
            raise

    def close(self) -> None:
        """Wait until every mask is on disk.

        Raises:
            OSError: a mask could not be written.
        """
        self._pool.shutdown()
        self._raise_failure()

    def __enter__(self) -> "PngWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._pool.shutdown(cancel_futures=True)

    def _save_named(self, path: Path, mask: np.ndarray) -> None:
        try:
            self._save(path, mask)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise

    def _finished(self, job: "Future[None]") -> None:
        if not job.cancelled() and self._failure is None:
            self._failure = job.exception()
        self._free.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
