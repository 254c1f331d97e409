"""What users do to jobs: reset, resubmit, delete, set fields, remove, undo. One implementation of each.

The dashboard, the command line and the documented functions are three faces of these.
"""

from .delete import qdel
from .fields import (
    CHUNK,
    GUARDED,
    NESTED,
    PROTECTED,
    boost,
    change,
    changes_of,
    edit,
    mark_collected,
    parse_field,
    reset,
    reset_missing,
    set_fields,
    undo,
)
from .preview import Preview, preview
from .protection import Held, Protection, protect, protect_batches
from .remove import (
    Cleaned,
    batches_in_states,
    clean_files,
    clean_folders,
    remove_batches,
    remove_batches_by_state,
    signatures,
)
from .report import NOBODY, Effect, Hold, Kind, Outcome, Report, Selection, Watcher, batch_ids, by_message
from .submit import (
    Plan,
    plan_next,
    resubmit,
    submit_batch,
    submit_batches,
    submit_next,
    submit_now,
    told_together,
)

__all__ = [
    "CHUNK",
    "GUARDED",
    "NESTED",
    "NOBODY",
    "PROTECTED",
    "Cleaned",
    "Effect",
    "Held",
    "Hold",
    "Kind",
    "Outcome",
    "Plan",
    "Preview",
    "Protection",
    "Report",
    "Selection",
    "Watcher",
    "batch_ids",
    "batches_in_states",
    "boost",
    "by_message",
    "change",
    "changes_of",
    "clean_files",
    "clean_folders",
    "edit",
    "mark_collected",
    "parse_field",
    "plan_next",
    "preview",
    "protect",
    "protect_batches",
    "qdel",
    "remove_batches",
    "remove_batches_by_state",
    "reset",
    "reset_missing",
    "resubmit",
    "set_fields",
    "signatures",
    "submit_batch",
    "submit_batches",
    "submit_next",
    "submit_now",
    "told_together",
    "undo",
]
