"""Log files of any size: what is at a path, its rows by offset or number, search, and its growth."""

from __future__ import annotations

from .line_index import LineIndex
from .log_file import (
    ABSENT,
    DIRECTORY,
    FAILED,
    FILE,
    SPECIAL,
    ContentProof,
    FileChange,
    FileStatus,
    LogError,
    OpenLog,
    change_words,
    compare_status,
    describe,
    open_log,
    stat_log,
)
from .print_lines import print_lines
from .rows import ESCAPE, Row, colours_only, row_start, rows_after, rows_at, rows_before, strip_escapes, tail
from .safe_regex import RegexTimeoutError, SearchAbortedError
from .search import ERRORS, MatchChunk, Pattern, find_next, find_previous, scan, scan_back
from .timestamps import find_time, parse_time

__all__ = [
    "ABSENT",
    "DIRECTORY",
    "ERRORS",
    "ESCAPE",
    "FAILED",
    "FILE",
    "SPECIAL",
    "ContentProof",
    "FileChange",
    "FileStatus",
    "LineIndex",
    "LogError",
    "MatchChunk",
    "OpenLog",
    "Pattern",
    "RegexTimeoutError",
    "Row",
    "SearchAbortedError",
    "change_words",
    "colours_only",
    "compare_status",
    "describe",
    "find_next",
    "find_previous",
    "find_time",
    "open_log",
    "parse_time",
    "print_lines",
    "row_start",
    "rows_after",
    "rows_at",
    "rows_before",
    "scan",
    "scan_back",
    "stat_log",
    "strip_escapes",
    "tail",
]
