"""Log files of any size: what is at a path, its rows by offset or number, search, and its growth."""

from __future__ import annotations

from .line_index import LineIndex
from .log_file import (
    ABSENT,
    DIRECTORY,
    FAILED,
    FILE,
    SPECIAL,
    FileChange,
    LogError,
    Look,
    OpenLog,
    Proof,
    change_words,
    describe,
    look_at,
    news,
    open_log,
)
from .print_lines import print_lines
from .rows import ESCAPE, Row, colours_only, plain, row_start, rows_after, rows_at, rows_before, tail
from .safe_regex import PatternTooSlowError, TooSlowError
from .search import ERRORS, Found, Pattern, find_next, find_previous, scan, scan_back
from .timestamps import find_time, parse_time

__all__ = [
    "ABSENT",
    "DIRECTORY",
    "ERRORS",
    "ESCAPE",
    "FAILED",
    "FILE",
    "SPECIAL",
    "FileChange",
    "Found",
    "LineIndex",
    "LogError",
    "Look",
    "OpenLog",
    "Pattern",
    "PatternTooSlowError",
    "Proof",
    "Row",
    "TooSlowError",
    "change_words",
    "colours_only",
    "describe",
    "find_next",
    "find_previous",
    "find_time",
    "look_at",
    "news",
    "open_log",
    "parse_time",
    "plain",
    "print_lines",
    "row_start",
    "rows_after",
    "rows_at",
    "rows_before",
    "scan",
    "scan_back",
    "tail",
]
