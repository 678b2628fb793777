"""Folders of results, one folder for each video: a video's folder exists once all its files do."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from util.errors import InputError
from util.files import atomic_path


def is_complete(folder: Path, file_names: Sequence[str]) -> bool:
    """Whether `folder` holds all of these files."""
    return folder.is_dir() and {path.name for path in folder.iterdir()}.issuperset(file_names)


def beside(output: Path, suffix: str) -> Path:
    """The path next to `output` whose name has `suffix` appended: output/val -> output/val.zip."""
    output = output.absolute()
    return output.with_name(output.name + suffix)


def zip_results(output: Path, files: Mapping[str, Sequence[str]], folder: str = "") -> Path:
    """Pack `<output>/<video>/<file>` into `<output>.zip`.

    Args:
        output: folder of the results.
        files: file names of each video.
        folder: where the videos lie in the archive. The DAVIS server wants them at the top, that of YouTube-VOS in
            Annotations.

    Returns:
        The path of the archive.

    Raises:
        InputError: a video is incomplete.
    """
    for video, names in files.items():
        if not is_complete(output / video, names):
            raise InputError(f"results of video {video} in {output} are incomplete; run the evaluation again")
    archive = beside(output, ".zip")
    with atomic_path(archive) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for video, names in files.items():
            for name in names:
                packed.write(output / video / name, str(PurePosixPath(folder, video, name)))
    return archive
