"""Removes what lies in the batches' folders: only there, and never what a symbolic link leads to."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable, Iterator

from .db.jobs import read_keys
from .errors import ParaschutError, UsageError
from .model import JobKey
from .workspace import Workspace


def remove_batch_folder(ws: Workspace, batch_id: int) -> str:
    """Removes JobDir/BatchID; returns a remark if it could not."""
    folder = ws.batch_dir(batch_id)
    if os.path.islink(folder):
        return f"its folder {folder} is a symbolic link and was left"
    if not os.path.isdir(folder):
        return ""
    try:
        shutil.rmtree(folder)  # refuses to follow links, also ones put there meanwhile
    except OSError as error:
        return f"its folder {folder} could not be removed whole: {error.strerror or error}"
    return ""


def clean_temp_folders(ws: Workspace, batch_ids: Iterable[int]) -> list[str]:
    """Removes the jobs' own temporary folders, JobDir/BatchID/JobIndex; returns their paths."""
    removed = []
    for batch_id in batch_ids:
        for key in read_keys(ws.reader, batch_id):
            removed += clean_job_folder(ws, key)
    return removed


def clean_job_folder(ws: Workspace, key: JobKey) -> list[str]:
    """Removes one job's temporary folder; returns its path in a list, or nothing."""
    folder = os.path.join(ws.batch_dir(key.batch_id), str(key.job_index))
    if os.path.islink(folder) or os.path.islink(ws.batch_dir(key.batch_id)) or not os.path.isdir(folder):
        return []
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise ParaschutError(f"Cannot remove {folder}: {error.strerror or error}") from error
    return [folder]


def clean_temp_files(ws: Workspace, patterns: Iterable[str], batch_ids: Iterable[int]) -> dict[int, int]:
    """Removes files in the batches' folders that match the patterns; returns how many of each batch.

    Raises:
        UsageError: a pattern that leads out of the folder.
        ParaschutError: a file that cannot be removed.
    """
    batches = list(batch_ids)
    found = temp_files(ws, patterns, batches)
    removed = dict.fromkeys(batches, 0)
    for batch_id, path in found:
        removed[batch_id] += _remove_file(path)
    return removed


def temp_files(ws: Workspace, patterns: Iterable[str], batch_ids: Iterable[int]) -> Iterator[tuple[int, str]]:
    """The files in the batches' folders that match the patterns, each with its BatchID.

    Raises:
        UsageError: a pattern that leads out of the folder; before any file is given out.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if os.path.isabs(pattern) or ".." in pattern.split("/"):
            raise UsageError(f"The pattern {pattern!r} leads out of the batch's folder.")
    for batch_id in batch_ids:
        if os.path.islink(ws.batch_dir(batch_id)):
            continue  # what it leads to is not the batch's
        folder = os.path.realpath(ws.batch_dir(batch_id))
        for pattern in wanted:
            for path in glob.iglob(os.path.join(glob.escape(folder), pattern)):
                inside = f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{folder}/")
                if inside and not os.path.isdir(path):
                    yield batch_id, path


def _remove_file(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False  # its job, or another cleaner, was faster
    except OSError as error:
        raise ParaschutError(f"Cannot remove {path}: {error.strerror}") from error
    return True
