"""Takes single mendings out, one at a time, and shows that the model test finds the fault again.

python -m tests.model.mutations [NAME]...      # a minute or so each; exit status 1 if one is not found
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis.errors import Flaky, FlakyFailure

from tests.model.slurm_double import EMPTY, FEW, HALF, HONEST
from tests.model.test_model import EARLIER, Machine, play

MOST_STEPS = 3000
ROUND = 150

Mutation = Callable[[pytest.MonkeyPatch, Path], object]


def exit_status_0_is_always_success(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """A program that a signal ends and that exits with 0 counts as complete."""
    (in_jobs / "sitecustomize.py").write_text(
        "import paraschut_core.exit_kinds\nparaschut_core.exit_kinds.ends_a_job = lambda name: False\n"
    )


def a_queue_is_its_kind_alone(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """Two clusters are one, and a bare id is believed."""
    from paraschut_core.executors.batch.slurm import SlurmJobExecutor
    from paraschut_core.monitoring import liveness, polling

    patch.setattr(SlurmJobExecutor, "backend_id", property(lambda self: "slurm"))
    patch.setattr(SlurmJobExecutor, "owns", lambda self, noted: True)
    patch.setattr(polling, "is_another_job", lambda job, tokens: False)
    patch.setattr(liveness, "_is_another_submission", lambda *arguments: False)


def half_an_answer_is_believed(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """An error beside an empty list is none, and a list that lost most jobs is believed at once."""
    from paraschut_core.executors.batch.slurm import SlurmJobExecutor
    from paraschut_core.executors.batch.slurm_parser import parse_squeue
    from paraschut_core.monitoring import polling

    def read_queue(self: SlurmJobExecutor) -> Any:
        from paraschut_core.executors.batch.slurm_parser import QUEUE_FORMAT
        from paraschut_core.identity import user_name

        answer = self.run_query("squeue", "-r", "-t", "all", "-u", user_name(), "-o", QUEUE_FORMAT)
        return parse_squeue(answer.stdout)

    patch.setattr(SlurmJobExecutor, "read_queue", read_queue)
    patch.setattr(polling, "_is_doubtful", lambda *arguments: False)


def _nothing_is_held(patch: pytest.MonkeyPatch, module: object, *names: str) -> None:
    from paraschut_core.actions.protection import Protection
    from paraschut_core.database.poll_state import PollState

    def of_jobs(ws: Any, keys: Any, *arguments: object, **options: object) -> Protection:
        from paraschut_core.database.jobs import read_rows

        rows = {row.key: row for row in read_rows(ws.reader, list(keys))}
        return Protection({}, {key: row.stamp for key, row in rows.items()}, rows, PollState())

    def of_batches(ws: Any, batch_ids: Any) -> dict[int, Protection]:
        return {batch_id: Protection({}, {}, {}, PollState()) for batch_id in batch_ids}

    for name in names:
        patch.setattr(module, name, of_batches if name == "protect_batches" else of_jobs)


def removing_has_no_guard(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """`remove` takes batches with jobs in the queue."""
    from paraschut_core.actions import remove

    _nothing_is_held(patch, remove, "protect_batches")


def cleaning_has_no_guard(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """`clean` takes the folders of running jobs."""
    from paraschut_core.actions import remove

    _nothing_is_held(patch, remove, "protect")


def setting_the_state_has_no_guard(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """`set state=init` and `reset` take running jobs."""
    from paraschut_core.actions import fields

    _nothing_is_held(patch, fields, "protect")


def what_changed_since_the_question_is_done_all_the_same(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """`remove --by-state init` removes what was submitted and complete meanwhile."""
    from paraschut_core.actions import remove

    patch.setattr(remove, "_differs", lambda *arguments: "")


def a_newer_version_gives_the_file_another_number(patch: pytest.MonkeyPatch, in_jobs: Path) -> None:
    """Jobs of the earlier version refuse the file at their end."""
    from paraschut_core.database import connection

    patch.setattr(connection, "SCHEMA_VERSION", connection.SCHEMA_VERSION + 1)
    from tests.model import world

    add = world.World.command

    def command(self: world.World, *arguments: Any, **options: Any) -> Any:
        answer = add(self, *arguments, **options)
        if arguments[0] != EARLIER and self.database.exists():
            self.sql(f"PRAGMA user_version = {connection.SCHEMA_VERSION}")
        return answer

    patch.setattr(world.World, "command", command)


MUTATIONS: tuple[Mutation, ...] = (
    exit_status_0_is_always_success,
    a_queue_is_its_kind_alone,
    half_an_answer_is_believed,
    removing_has_no_guard,
    cleaning_has_no_guard,
    setting_the_state_has_no_guard,
    what_changed_since_the_question_is_done_all_the_same,
    a_newer_version_gives_the_file_another_number,
)


FOCUS: dict[Mutation, dict[str, object]] = {
    exit_status_0_is_always_success: {"acts": (("boost", "BATCH"),), "modes": (HONEST,), "people": ("ann",)},
    half_an_answer_is_believed: {
        "acts": (("resubmit", "--missing", "--yes"),),
        "modes": (HALF, EMPTY, FEW, HONEST),
        "with_accounts": (False,),
        "people": ("ann",),
    },
    cleaning_has_no_guard: {"acts": (("clean", "BATCH", "--yes"), ("boost", "BATCH")), "people": ("ann",)},
    what_changed_since_the_question_is_done_all_the_same: {
        "acts": (("reset", "BATCH", "--yes"),),
        "modes": (HONEST,),
        "people": ("ann",),
    },
}
"""What the machine does oftener for some, which three things in a row must show: all else still happens."""


def steps_until_found(mutation: Mutation, earlier: Path) -> tuple[int, str]:
    """About how many steps it takes until the model test fails, and what it says; 0 if it does not."""
    from tests.model.test_model import TwoVersions

    machine = TwoVersions if mutation is a_newer_version_gives_the_file_another_number else Machine
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as in_jobs:
        patch.setattr(machine, "earlier", earlier)
        patch.setattr(machine, "in_jobs", Path(in_jobs))
        for name, value in FOCUS.get(mutation, {}).items():
            patch.setattr(machine, name, value)
        mutation(patch, Path(in_jobs))
        for steps in range(ROUND, MOST_STEPS + 1, ROUND):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    play(machine, ROUND, random=True)
            except AssertionError as error:
                return steps, str(error).splitlines()[0]
            except FlakyFailure as error:  # it depends on the time that processes take
                return steps, str(error.exceptions[0]).splitlines()[0]
            except Flaky:
                continue  # it went another way the second time, before anything was shown
    return 0, ""


def main(names: list[str]) -> int:
    random.seed()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(Path(__file__).parents[1] / "samples" / "paraschut_core_2.tar.gz") as packed:
            packed.extractall(folder)
        for mutation in MUTATIONS:
            if names and mutation.__name__ not in names:
                continue
            began = time.monotonic()
            steps, found = steps_until_found(mutation, Path(folder))
            missed += not steps
            what = f"found within {steps} steps: {found}" if steps else f"NOT FOUND in {MOST_STEPS} steps"
            print(f"{mutation.__name__}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
