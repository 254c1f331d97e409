"""What the SQLite library can do that this Python is linked with."""

from __future__ import annotations

import sqlite3

from ..errors import LibraryError

LEAST = (3, 26)
"""The oldest version that is tested; Enterprise Linux 8 has it."""

KNOWS_TARGETS_AT = (3, 35)
"""Since then ON CONFLICT may leave out what conflicts, as the triggers of files not yet mended do."""

JSON_BUILT_IN = (3, 38)
"""Since then the functions of JSON are there unless they were left out on purpose."""

BUSY = "busy"
FULL = "full"
READ_ONLY = "read-only"
CANNOT_OPEN = "cannot open"
IO = "I/O"
DAMAGED = "damaged"
UNREADABLE = "unreadable"
"""Its tables hold what this library does not understand."""

NOT_A_DATABASE = "not a database"
OTHER = "other"

_BY_CODE = {
    5: BUSY,
    6: BUSY,  # a table of it
    8: READ_ONLY,
    10: IO,
    11: DAMAGED,
    13: FULL,
    14: CANNOT_OPEN,
    26: NOT_A_DATABASE,
}
_BY_WORDS = {
    "locked": BUSY,
    "busy": BUSY,
    "readonly": READ_ONLY,
    "disk I/O": IO,
    "malformed": DAMAGED,
    "corrupt": DAMAGED,
    "full": FULL,
    "unable to open": CANNOT_OPEN,
    "not a database": NOT_A_DATABASE,
}

_checked = False


def fault_of(error: Exception) -> str:
    """Return what SQLite could not do: one of the constants above.

    Python 3.10 does not tell the code of the error. There the library's own words are read.
    """
    if isinstance(error, UnicodeDecodeError):
        return DAMAGED
    words = str(error)
    if "malformed database schema" in words and "syntax error" in words:
        return UNREADABLE  # has the code of a damaged file
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        # Functions of JSON have no code of their own for what they cannot read.
        return _BY_CODE.get(code & 0xFF, DAMAGED if "malformed" in words else OTHER)
    return next((fault for word, fault in _BY_WORDS.items() if word in words), OTHER)


def check() -> None:
    """Raise LibraryError if this Python's SQLite cannot be used, whatever the file."""
    global _checked
    if _checked:
        return
    if sqlite3.sqlite_version_info < LEAST:
        raise LibraryError(_refusal(f"{LEAST[0]}.{LEAST[1]} or newer"))
    if sqlite3.sqlite_version_info < JSON_BUILT_IN:
        memory = sqlite3.connect(":memory:")
        try:
            memory.execute("SELECT json_valid('{}'), (SELECT count(*) FROM json_each('[]'))")
        except sqlite3.OperationalError as error:
            raise LibraryError(_refusal("one that was built with its JSON functions")) from error
        finally:
            memory.close()
    _checked = True


def _refusal(wanted: str) -> str:
    import sys

    return (
        f"The SQLite library of this Python ({sys.executable}) is {sqlite3.sqlite_version}; Paraschut needs "
        f"{wanted}. No file was touched. Use a Python with a newer one: that of conda has it, or a module of "
        "your cluster's."
    )


def is_old() -> bool:
    """Return whether this library cannot read the triggers of files that are not yet mended."""
    return sqlite3.sqlite_version_info < KNOWS_TARGETS_AT


def tolerate(connection: sqlite3.Connection, wanted: bool) -> None:
    """Let an old library open a file with triggers that it cannot read: it leaves them out.

    Only until these are mended (the addition "targets"); who only reads needs no triggers.
    """
    if is_old():
        connection.execute(f"PRAGMA writable_schema = {'ON' if wanted else 'OFF'}")


def drop_unreadable(connection: sqlite3.Connection) -> None:
    """Remove the triggers that an old library cannot read, and so cannot drop; the addition makes them."""
    if is_old():
        connection.execute(
            "DELETE FROM main.sqlite_master WHERE type = 'trigger' AND sql LIKE '%ON CONFLICT DO UPDATE%'"
        )
