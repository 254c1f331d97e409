"""What users do to jobs: reset, resubmit, delete, set fields, remove, undo. One implementation of each.

The dashboard, the command line and the documented functions are three faces of these.
"""

from .common import NOBODY, Outcome, Report, Selection, Watcher, batch_ids
from .fields import (
    CHUNK,
    NESTED,
    PROTECTED,
    boost,
    changes_of,
    edit,
    mark_collected,
    parse_field,
    reset,
    reset_missing,
    set_fields,
    undo,
)
from .looking import Preview, preview
from .queue import qdel
from .remove import clean_files, remove_batches, remove_batches_by_state
from .submit import Plan, plan_next, resubmit, submit_batch, submit_batches, submit_next, submit_now

__all__ = [
    "CHUNK",
    "NESTED",
    "NOBODY",
    "PROTECTED",
    "Outcome",
    "Plan",
    "Preview",
    "Report",
    "Selection",
    "Watcher",
    "batch_ids",
    "boost",
    "changes_of",
    "clean_files",
    "edit",
    "mark_collected",
    "parse_field",
    "plan_next",
    "preview",
    "qdel",
    "remove_batches",
    "remove_batches_by_state",
    "reset",
    "reset_missing",
    "resubmit",
    "set_fields",
    "submit_batch",
    "submit_batches",
    "submit_next",
    "submit_now",
    "undo",
]
