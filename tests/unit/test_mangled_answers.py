"""Captured answers, cut, doubled, with banners and errors: no exception but SchedulerError, no wrong job.

PARASCHUT_TEST_ROUNDS says how many mangled versions of each captured answer are tried.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paraschut_core import exit_kinds
from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch import run_command
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from tests.samples import FOLDER, sample

ROUNDS = int(os.environ.get("PARASCHUT_TEST_ROUNDS", "12"))
ERROR = "slurm_load_jobs error: Socket timed out on send/recv operation\n"
BANNER = "".join(
    f"*** Welcome to the cluster, line {n}: error rates, job 12, 4711 hours ***\n" for n in range(6)
)

NOTHING_LOST = {
    "doubled",
    "with an error beside",
    "behind a banner",
    "before a banner",
    "with a banner beside",
}

NOT_TOLD = (None, None, False)
"""An end of which neither the exit status nor the signal is known."""

KINDS: dict[str, tuple[type[BatchExecutor], ...]] = {
    "slurm": (SlurmJobExecutor,),
    "sge": (SGEJobExecutor,),
    "pbs": (PBSJobExecutor,),
    "torque": (PBSJobExecutor,),
}
SAMPLES = [
    (kind, f"{folder}/{path.stem}")
    for folder, kinds in KINDS.items()
    for path in sorted(Path(FOLDER, folder).glob("*.txt"))
    for kind in kinds
]


def mangled(text: str, seed: str) -> Iterator[tuple[str, str, str]]:
    """(how, standard output, what is put on standard error besides)."""
    chance = random.Random(seed)
    lines = text.splitlines(keepends=True)
    yield "as it is", text, ""
    yield "empty", "", ""
    yield "empty, with an error", "", ERROR
    yield "doubled", text + text, ""
    yield "with an error beside", text, ERROR
    yield "behind a banner", BANNER + text, ""
    yield "before a banner", text + BANNER, ""
    yield "with a banner beside", text, BANNER
    for _ in range(ROUNDS):
        yield "cut", text[: chance.randrange(len(text) + 1)], ""
        yield "cut at the front", text[chance.randrange(len(text) + 1) :], ""
        yield "cut, with an error", text[: chance.randrange(len(text) + 1)], ERROR
        if lines:
            yield "one line", chance.choice(lines), ""
            place = chance.randrange(len(lines))
            yield "without a line", "".join(lines[:place] + lines[place + 1 :]), ""
            yield "a line twice", "".join([*lines[:place], lines[place], *lines[place:]]), ""
            yield "a banner in it", "".join([*lines[:place], BANNER, *lines[place:]]), ""
        if text:
            place = chance.randrange(len(text))
            yield (
                "a byte changed",
                text[:place] + chance.choice("\0\x1b|:<>\ufffd9 \n") + text[place + 1 :],
                "",
            )


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[CommandResult]:
    """Every command answers with the one answer in this list."""
    answer: list[CommandResult] = []
    monkeypatch.setattr(run_command, "run", lambda argv, **_: answer[0]._replace(argv=tuple(argv)))
    return answer


@pytest.mark.parametrize(("kind", "name"), SAMPLES, ids=[name for _, name in SAMPLES])
def test_a_mangled_answer_is_an_error_or_tells_nothing_wrong(
    kind: type[BatchExecutor], name: str, says: list[CommandResult], tmp_path: Path
) -> None:
    original = sample(name)
    ids = sorted(set(re.findall(r"\b[0-9]+(?:[_.][0-9]+|\[[0-9]+\])?", original.stdout + original.stderr)))
    ids = [id_ for id_ in ids[:50] if kind.id_pattern.fullmatch(id_)] or ["12"]
    is_submission = re.search("sbatch|qsub", original.command)

    def told_by(out: str, err: str) -> dict[str, Any]:
        says[:] = [CommandResult(("x",), original.status, out, original.stderr + err, 0.1)]
        return told(kind(settings=Settings(job_dir=str(tmp_path))), says[0], ids)

    whole = told_by(original.stdout, "")
    for how, out, err in mangled(original.stdout, name):
        found = told_by(out, err)
        assert all(id_[:1].isdigit() for id_, _ in found["poll"] or ()), how
        if how == "a byte changed":
            continue  # it may be a digit of an id

        def is_cut(id_: str, out: str = out, how: str = how) -> bool:
            """Whether the id may lack its first digits: of that nobody can tell."""
            return how == "cut at the front" and out.startswith((f"{id_}|", f"{id_}."))

        # An answer with what cannot be understood behind its jobs is no answer, and cut before that one.
        # A line of XML is part of a job: what is left without it may be another.
        if whole["poll"] is not None and not ("line" in how and out.startswith("<")):
            more = (found["poll"] or set()) - whole["poll"]
            assert not [id_ for id_, _ in more if not is_cut(id_)], how
        for id_, end in (found["accounts"] or {}).items():
            same = (whole["accounts"] or {}).get(id_)
            assert is_cut(id_) or end in (same, NOT_TOLD), how
        # A list of numbers is no answer to a submission.
        if is_submission and how != "cut at the front":
            assert found["submit"] in (None, whole["submit"]), how
        if how in NOTHING_LOST:
            assert found["accounts"] == whole["accounts"], how
            assert found["limit"] == whole["limit"], how
            assert found["summary"] == whole["summary"], how
            assert found["gone"] <= whole["gone"], how
        if how in NOTHING_LOST - {"doubled"} and whole["poll"]:
            assert found["poll"] == whole["poll"], how


def told(executor: BatchExecutor, answer: CommandResult, ids: list[str]) -> dict[str, Any]:
    """What an executor makes of the answer, whatever it had asked; None: that it is no answer."""
    found: dict[str, Any] = {}
    for what, look in {
        "poll": lambda: {(job.id, job.token) for job in executor.read_queue().values()},
        "submit": lambda: executor.submitted_id(answer) if answer.stdout.endswith("\n") else None,
        "gone": lambda: {id_ for id_, deleted in executor._delete(ids).items() if deleted.gone},
        "accounts": lambda: {
            id_: (ending.exit_status, ending.signal, ending.kind == exit_kinds.COMPLETED)
            for id_, ending in executor.accounts(ids, 0.0).items()
        },
        "limit": executor.array_limit,
        "summary": lambda: executor.summary(ids[0]),
        "health": executor.health,
    }.items():
        try:
            found[what] = look()
        except SchedulerError:
            found[what] = None
    return found
