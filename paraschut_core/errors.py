"""The errors of the house: each says what failed, on what, and what to do next."""

from __future__ import annotations


class ParaschutError(Exception):
    """Anything that went wrong and was foreseen.

    `exit_code` is what the command line returns for it: 1 for a failure, 2 for misuse.
    """

    exit_code = 1


class UsageError(ParaschutError):
    """The request itself is wrong: an unknown name, a bad value, a contradiction."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file, variable or option that cannot be used."""


class NoProjectError(ConfigError):
    """No configuration was found, and no database is named."""


class DatabaseError(ParaschutError):
    """The database file cannot be opened, read or written."""


class NoDatabaseError(DatabaseError):
    """The database's file is not there."""


class LibraryError(DatabaseError):
    """The SQLite library of this Python is too old, or lacks a part that is needed."""


class NotADatabaseError(DatabaseError):
    """The file is there, but it is not a Paraschut database of this version."""


class DatabaseBusyError(DatabaseError):
    """Another process kept the database locked for longer than the time-out."""


class UnknownJobError(UsageError):
    """No such batch, job or spawn in the index."""


class DuplicateJobError(UsageError):
    """A batch or job of that number is there already."""


class FilterError(UsageError):
    """A filter that cannot be understood or may not be evaluated.

    Args:
        message: what is wrong, with the place in the text where that helps.
        position: index of the character in the filter that the error is about; None: it is about all of it.
        lead: what comes before the message where the filter is not in view.
    """

    def __init__(self, message: str, position: int | None = None, lead: str = "") -> None:
        super().__init__(lead + message)
        self.message = message
        self.position = position


class MetadataError(UsageError):
    """A metadata field that cannot be stored without loss."""


class ConflictError(ParaschutError):
    """The job changed since it was read; nothing was written."""


class StaleJobError(ConflictError):
    """This process runs an attempt of a job that is no longer the current one: it must stop."""


class SchedulerError(ParaschutError):
    """A scheduler command failed, timed out or answered what cannot be understood."""


class SubmitError(SchedulerError):
    """The scheduler refused a job; it is certain that nothing was submitted."""


class UntrustedError(SubmitError):
    """What lies at a predictable place is, or may be, another user's: it is not used.

    `owner` is whose it is (a uid), None where that is not what is wrong with it.
    """

    def __init__(self, message: str, owner: int | None = None) -> None:
        super().__init__(message)
        self.owner = owner


class ScriptError(UsageError):
    """A job's script or template that cannot be used."""
