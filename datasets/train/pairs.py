"""Frames and masks that belong together."""

import os
from collections.abc import Collection
from pathlib import Path

from util.errors import InputError
from util.images import IMAGE_SUFFIXES, is_clutter, natural_key


def _names_by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, str]:
    """File names of a folder by their stems, hidden files left out; empty where the folder is missing.

    Raises:
        InputError: two files have one stem.
    """
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        parts = [entry.name.rpartition(".") for entry in entries if not is_clutter(entry.name)]
    named = [(stem, f"{stem}.{suffix}") for stem, _, suffix in parts if f".{suffix.lower()}" in suffixes]
    found: dict[str, str] = {}
    for stem, name in named:
        if found.setdefault(stem, name) != name:
            raise InputError(f"folder {folder} holds {found[stem]} and {name}; remove one of them")
    return found


def list_pairs(frames: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pictures of one folder with the .png masks of the same stem in another, in natural order.

    Pictures without mask and masks without picture are left out; a missing folder gives no pairs.

    Raises:
        InputError: two pictures or two masks of a folder have one stem.
    """
    mask_names, frame_names = _names_by_stem(masks, {".png"}), _names_by_stem(frames, IMAGE_SUFFIXES)
    pairs = [(frames / name, masks / mask_names[stem]) for stem, name in frame_names.items() if stem in mask_names]
    return sorted(pairs, key=lambda pair: natural_key(pair[0]))
