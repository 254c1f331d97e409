"""Removes what lies in the batches' folders: only there, and never what a symbolic link leads to."""

from __future__ import annotations

import glob
import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator

from ..errors import ParaschutError, UsageError
from ..model import JobKey
from ..project import Project

log = logging.getLogger(__name__)


_ASIDE = ".removed-"
"""What the name of a folder begins with that is to be removed and is not any more where it was."""


def batch_folder(ws: Project, batch_id: int) -> tuple[str, str]:
    """A batch's own folder, "" if there is none; and a remark if it is one that must stay."""
    folder = ws.batch_dir(batch_id)
    if os.path.islink(folder):
        return "", f"its folder {folder} is a symbolic link and was left"
    return (folder if os.path.isdir(folder) else ""), ""


def job_folders(ws: Project, batch_id: int) -> dict[int, str]:
    """The jobs' own temporary folders of a batch, JobDir/BatchID/JobIndex, by JobIndex."""
    folder, _ = batch_folder(ws, batch_id)
    if not folder:
        return {}
    try:
        entries = os.listdir(folder)
    except OSError as error:
        raise ParaschutError(f"Cannot read {folder}: {error.strerror or error}") from error
    named = {int(name): name for name in entries if name.isascii() and name.isdigit()}
    found = {index: os.path.join(folder, name) for index, name in named.items() if name == str(index)}
    return {i: path for i, path in found.items() if os.path.isdir(path) and not os.path.islink(path)}


def job_folder(ws: Project, key: JobKey) -> str:
    """One job's own temporary folder, "" if there is none."""
    batch, _ = batch_folder(ws, key.batch_id)
    folder = os.path.join(batch, str(key.job_index))
    return folder if batch and os.path.isdir(folder) and not os.path.islink(folder) else ""


def set_aside(folder: str) -> str:
    """Rename a folder that is to be removed, at once: whoever makes it again gets a new one.

    Returns:
        its path now, for `remove_whole`; "" if it is gone already.

    Raises:
        ParaschutError: it cannot be renamed.
    """
    head, name = os.path.split(folder)
    aside = os.path.join(head, f"{_ASIDE}{name}-{secrets.token_hex(4)}")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ParaschutError(f"Cannot remove {folder}: {error.strerror or error}") from error
    return aside


def put_back(aside: str, folder: str) -> None:
    """Undo `set_aside`, where what it was for failed."""
    try:
        os.rename(aside, folder)
    except OSError as error:
        log.warning("cannot rename %s back to %s: %s", aside, folder, error)


def remove_whole(folder: str) -> str:
    """Remove a folder with all that is in it; return why it could not."""
    try:
        shutil.rmtree(folder)  # refuses to follow links, also ones put there meanwhile
    except OSError as error:
        return f"its folder {folder} could not be removed whole: {error.strerror or error}"
    return ""


def remove_leftovers(ws: Project, batch_id: int) -> None:
    """Remove what a cleaning that was cut short had set aside already."""
    folder, _ = batch_folder(ws, batch_id)
    for path in glob.glob(os.path.join(glob.escape(folder), f"{_ASIDE}*")) if folder else ():
        if os.path.isdir(path) and not os.path.islink(path) and (problem := remove_whole(path)):
            log.warning("%s", problem)


def require_inside(patterns: Iterable[str]) -> None:
    """Raise UsageError for a pattern that leads out of the folder in which it is looked for."""
    for pattern in patterns:
        if os.path.isabs(pattern) or ".." in pattern.split("/"):
            raise UsageError(f"The pattern {pattern!r} leads out of the batch's folder.")


def temp_files(ws: Project, patterns: Iterable[str], batch_ids: Iterable[int]) -> Iterator[tuple[int, str]]:
    """The files in the batches' folders that match the patterns, each with its BatchID.

    Raises:
        UsageError: a pattern that leads out of the folder; before any file is given out.
    """
    wanted = list(patterns)
    require_inside(wanted)
    for batch_id in batch_ids:
        if os.path.islink(ws.batch_dir(batch_id)):
            continue  # what it leads to is not the batch's
        folder = os.path.realpath(ws.batch_dir(batch_id))
        for pattern in wanted:
            for path in glob.iglob(os.path.join(glob.escape(folder), pattern)):
                inside = f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{folder}/")
                if inside and not os.path.isdir(path):
                    yield batch_id, path


def remove_file(path: str) -> bool:
    """Remove a file; return whether it was there. Raises ParaschutError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False  # its job, or another cleaner, was faster
    except OSError as error:
        raise ParaschutError(f"Cannot remove {path}: {error.strerror}") from error
    return True
