"""Whose is what lies at a predictable place: nothing of others is run, appended to or taken for one's own.

Two rules, each checked on what was opened, never on a path that may lead elsewhere a moment later:

- what is mine alone (queues, scripts, their records): it belongs to this user or to root, nobody else may
  write to it, and no link below the job directory leads to it. Links above it are homes and automounts.
- a project's data (its configuration, `maxjobs`, logs): a group may share it as its permissions allow; but
  not what another user put where everybody may write, such as /tmp or a shared scratch.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import UntrustedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_LINK = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
"""What systems say of a link where none is followed."""


def is_ours(uid: int) -> bool:
    """Return whether files of this user can be relied on: this process's own, and root's."""
    return uid in (0, os.geteuid())


def require_own(status: os.stat_result, path: str) -> None:
    """Raise UntrustedError unless an opened file or folder is this user's alone."""
    if not is_ours(status.st_uid):
        raise UntrustedError(
            f"{path} belongs to {_name(status.st_uid)}, not to you: it is not used. Have it removed, or set "
            "another job_dir.",
            owner=status.st_uid,
        )
    if status.st_mode & _OTHERS:
        raise UntrustedError(
            f"{path} can be written to by others, so that what is in it may be theirs: it is not used. If "
            f"you trust what is in it: chmod -R go-w {path}"
        )


def open_folder(base: str, *below: str, make: bool = False) -> int:
    """Open the folder base/below..., which must be this user's alone; return its descriptor.

    Args:
        base: the job directory, say: links on the way to it are followed.
        below: the parts of the path below it: no links. All but the last may be other users'.
        make: make what is not there; the last part for this user alone, the others as `base` is.

    Raises:
        UntrustedError: the folder is not this user's alone, or a part of the path is a link.
        OSError: it is not there, or cannot be made or opened.
    """
    handle = os.open(base, _FOLDER)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        path = base
        for number, name in enumerate(below, 1):
            path = os.path.join(path, name)
            handle = _enter(handle, name, path, mode if number < len(below) else 0o700, make)
        require_own(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def enter(folder: str, *, make: bool = False) -> int:
    """Open a folder of this user's, JOB_DIR/.paraschut/KIND/NAME; as `open_folder` does."""
    above, name = os.path.split(folder)
    above, kind = os.path.split(above)
    base, hidden = os.path.split(above)
    return open_folder(base, hidden, kind, name, make=make)


def _enter(parent: int, name: str, path: str, mode: int, make: bool) -> int:
    """The descriptor of a folder's subfolder; the parent's is closed unless that fails."""
    made = False
    if make:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            made = True
        except FileExistsError:
            pass
    try:
        handle = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in _LINK:
            raise UntrustedError(
                f"{path} is a link or no directory: it is not used. Have it removed."
            ) from None
        if error.errno == errno.EACCES:
            require_own(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
        error.filename = path
        raise
    try:
        # What was there already keeps its mode: to open it to others, or to close it, is for its owner.
        if made and mode != 0o700:
            os.fchmod(handle, mode)
    except OSError:
        os.close(handle)
        raise
    os.close(parent)
    return handle


def open_own(name: str, flags: int, mode: int = 0o600, *, folder: int | None = None, path: str = "") -> int:
    """Open a regular file of this user's alone; return its descriptor.

    Args:
        folder: an open folder from which `name` counts.
        path: what to call it in errors.

    Raises:
        UntrustedError: it is a link, no regular file, or not this user's alone.
        OSError: it cannot be opened.
    """
    path = path or name
    try:
        # Without waiting: a FIFO that somebody put there would keep this process for ever.
        handle = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise UntrustedError(
                f"{path} is a link or no regular file: it is not used. Have it removed."
            ) from None
        error.filename = path
        raise
    try:
        _require_regular(os.fstat(handle), path)
        require_own(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def look_at_own(name: str, *, folder: int, path: str = "") -> os.stat_result | None:
    """What a file in an open folder is; None if there is none. For files that must not be opened and closed
    here: SQLite's, whose locks another connection of this process would lose by that.

    Raises:
        UntrustedError: it is a link, no regular file, or not this user's alone.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    _require_regular(status, path or name)
    require_own(status, path or name)
    return status


def is_open(status: os.stat_result) -> bool:
    """Return whether this process has that file open (always, where the system does not tell)."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return True
    for name in names:
        try:
            if os.path.samestat(os.fstat(int(name)), status):
                return True
        except OSError:
            continue  # closed meanwhile, by another thread or by the listing itself
    return False


def open_data(path: str) -> int:
    """Open a project's file for reading, links followed; return its descriptor.

    Raises:
        UntrustedError: another user put it, or a link, where everybody may write; or it is no regular file.
        OSError: it cannot be opened.
    """
    require_data(os.lstat(path), path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        _require_regular(status, path)
        require_data(status, path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def require_data(status: os.stat_result, path: str) -> None:
    """Raise UntrustedError for a file that another user may have put in our way."""
    if is_ours(status.st_uid) or not os.stat(os.path.dirname(path) or ".").st_mode & stat.S_IWOTH:
        return
    raise UntrustedError(
        f"{path} belongs to another user ({_name(status.st_uid)}) and lies where everybody may write: it is "
        "not used unasked.",
        owner=status.st_uid,
    )


def open_log(path: bytes, base: bytes, flags: int, mode: int = 0o666) -> int:
    """Open a job's log for writing, where nobody but its user leads it; return its descriptor.

    Args:
        path: absolute.
        base: the job directory. Below it, and at the end of the path anywhere, links must be this user's or
            root's; those on the way to it are followed.

    Raises:
        UntrustedError: a link of another user's leads to it, or it is another user's file in a folder where
            everybody may write.
        OSError: it cannot be opened.
    """
    folder, name = os.path.split(path)
    if path.startswith(base.rstrip(b"/") + b"/"):
        below = folder[len(base.rstrip(b"/")) + 1 :]
        handle = os.open(base, _FOLDER)
    else:
        below = b""
        handle = os.open(folder or b"/", _FOLDER)
    try:
        shown = base if below else folder
        for part in filter(None, below.split(b"/")):
            shown = os.path.join(shown, part)
            handle = _follow(handle, part, shown)
        try:
            log = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=handle)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):
                raise
            _require_own_link(handle, name, path)
            log = os.open(name, flags, mode, dir_fd=handle)
        try:
            status = os.fstat(log)
            if not is_ours(status.st_uid) and os.fstat(handle).st_mode & stat.S_IWOTH:
                owner = status.st_uid
                raise UntrustedError(
                    f"{os.fsdecode(path)} belongs to {_name(owner)} and lies where everybody may write",
                    owner,
                )
        except BaseException:
            os.close(log)
            raise
    finally:
        os.close(handle)
    return log


def _follow(parent: int, name: bytes, path: bytes) -> int:
    """The descriptor of a subfolder, through a link only if that is this user's; the parent's is closed
    unless that fails."""
    try:
        handle = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in _LINK:
            raise
        _require_own_link(parent, name, path)
        handle = os.open(name, _FOLDER, dir_fd=parent)
    os.close(parent)
    return handle


def _require_own_link(folder: int, name: bytes, path: bytes) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode) and not is_ours(status.st_uid):
        raise UntrustedError(
            f"{os.fsdecode(path)} is a link of {_name(status.st_uid)}, which leads elsewhere",
            owner=status.st_uid,
        )


def _require_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedError(f"{path} is a link or no regular file: it is not used. Have it removed.")


def _name(uid: int) -> str:
    """A user, for people: name and number."""
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
