"""What users do to jobs: reset, resubmit, delete, set fields, remove, undo. One implementation of each.

The dashboard, the command line and the documented functions are three faces of these.
"""

from .delete import qdel as qdel
from .fields import CHUNK as CHUNK
from .fields import GUARDED as GUARDED
from .fields import NESTED as NESTED
from .fields import PROTECTED as PROTECTED
from .fields import boost as boost
from .fields import change as change
from .fields import edit as edit
from .fields import expand_field_changes as expand_field_changes
from .fields import mark_collected as mark_collected
from .fields import parse_field as parse_field
from .fields import reset as reset
from .fields import reset_missing as reset_missing
from .fields import set_fields as set_fields
from .fields import undo as undo
from .preview import ActionPreview as ActionPreview
from .preview import preview as preview
from .protection import Held as Held
from .protection import Protection as Protection
from .protection import protect as protect
from .protection import protect_batches as protect_batches
from .remove import CleanReport as CleanReport
from .remove import batches_in_states as batches_in_states
from .remove import clean_files as clean_files
from .remove import clean_folders as clean_folders
from .remove import remove_batches as remove_batches
from .remove import remove_batches_by_state as remove_batches_by_state
from .remove import signatures as signatures
from .report import NO_PROGRESS as NO_PROGRESS
from .report import ActionReport as ActionReport
from .report import Effect as Effect
from .report import Hold as Hold
from .report import JobResult as JobResult
from .report import ProgressReporter as ProgressReporter
from .report import ResultKind as ResultKind
from .report import Selection as Selection
from .report import batch_ids as batch_ids
from .report import by_message as by_message
from .submit import SubmitPlan as SubmitPlan
from .submit import failure_lines as failure_lines
from .submit import plan_next as plan_next
from .submit import resubmit as resubmit
from .submit import submit_batch as submit_batch
from .submit import submit_batches as submit_batches
from .submit import submit_next as submit_next
from .submit import submit_now as submit_now
