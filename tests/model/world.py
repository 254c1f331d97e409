"""A small world for the model test: people, clusters, jobs that note each of their starts, what must hold.

Everything is real but the scheduler: the database, the command line (each command in a process of its own,
which may be killed), the generated scripts, `paraschut run`. The world keeps a small model beside it, which
needs only what the jobs and the clusters themselves say, never what the index says about them.
"""

from __future__ import annotations

import ast
import codecs
import errno
import importlib
import os
import pkgutil
import re
import signal
import sqlite3
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import paraschut_core
from paraschut_core.monitoring import polling
from tests.helpers import assert_sound, wait_until
from tests.model.slurm_double import HONEST, Slurm

NOBODY = 65534
"""The uid of the second user, where the tests run as root."""

CONFIG = """
executor = "slurm"
[poll]
interval = 5
grace = 0
timeout = 20
[submit]
timeout = 2
"""

PROGRAM = """#!/bin/bash
# Writes down its start; waits for the order how to end. A signal to end it is answered with status 0.
# What it computes meanwhile lies in the job's own folder, and has to be there at the end.
own=$1/$PARASCHUT_BATCH_ID/$PARASCHUT_JOB_INDEX
cd "$(dirname "$0")" || exit 1
umask 0
order=orders/$PARASCHUT_TOKEN.${SLURM_RESTART_COUNT:-0}
mkfifo "$order"
exec 9<>"$order"
mkdir -p "$own" && echo half >"$own/scratch"
echo "$PARASCHUT_BATCH_ID $PARASCHUT_JOB_INDEX $PARASCHUT_TOKEN ${SLURM_RESTART_COUNT:-0}" >>starts
trap 'exit 0' TERM
status=
while :; do
  read -t 0.02 -u 9 part # a time-out may cut the line: what was read of it counts
  got=$?
  status=$status$part
  [ $got = 0 ] && break
done
if [ ! -e "$own/scratch" ]; then
  echo "$PARASCHUT_BATCH_ID $PARASCHUT_JOB_INDEX" >>robbed
  exit 9
fi
[ "$status" = 0 ] && echo done >"done/$PARASCHUT_BATCH_ID-$PARASCHUT_JOB_INDEX"
exit "$status"
"""

Key = tuple[int, int]


_CODECS = ("utf-8-sig", "utf-16", "latin-1", "idna", "ascii")


def load_everything() -> None:
    """Imports all that a command may import: another user may not be able to read it from the disk."""
    for name in _CODECS:
        codecs.lookup(name)
    for found in pkgutil.walk_packages(paraschut_core.__path__, "paraschut_core."):
        if found.name.endswith("__main__") or ".demo.scripts" in found.name:
            continue
        module = importlib.import_module(found.name)
        with open(str(module.__file__), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                if name.partition(".")[0] in sys.stdlib_module_names or name == "click":
                    try:
                        importlib.import_module(name)
                    except ImportError:
                        pass  # of another version of Python, or another system


class Start(NamedTuple):
    """One start of a job's own code, as the job wrote it down."""

    key: Key
    token: str
    restart: int


class Person(NamedTuple):
    """Who types a command: as which user, in which directory, with which version ('': this one)."""

    name: str
    uid: int
    cwd: str
    version: str = ""


class World:
    """The project, its people and clusters."""

    def __init__(self, folder: Path, *, earlier: Path | None = None, in_jobs: Path | None = None) -> None:
        """
        Args:
            earlier: a folder with the package of the earlier version.
            in_jobs: a folder that comes first where the jobs' Python looks for modules.
        """
        load_everything()
        # How often and how long an empty list must come before it is believed has tests of its own.
        polling.BELIEVE_EMPTY = 10**9
        self.in_jobs = in_jobs
        old = os.umask(0)
        self.folder = folder
        folder.chmod(0o777)
        self.project = folder / "project"
        self.work = folder / "work"
        for path in (self.project, self.work, self.work / "orders", self.work / "done", folder / "elsewhere"):
            path.mkdir()
        self.database = self.project / "jobs.db"
        (self.project / "paraschut.toml").write_text(CONFIG)
        self.program = self.work / "program.sh"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        (self.work / "starts").touch(0o666)
        self.clusters = {name: Slurm(str(folder / name), name) for name in ("amber", "beryl")}
        here = str(self.project)
        self.people = {
            "ann": Person("ann", os.getuid(), here),
            "ann elsewhere": Person("ann elsewhere", os.getuid(), str(folder / "elsewhere")),
            "bea": Person("bea", NOBODY if os.getuid() == 0 else os.getuid(), here),
            "ann with the earlier version": Person("ann", os.getuid(), here, str(earlier or "")),
        }
        os.umask(old)
        self.tokens: dict[str, Key] = {}
        self.forced: set[str] = set()
        """Tokens of submissions that a user gave up by force: they may go on beside their successors."""
        self.completed: set[Key] = set()
        self.removable: set[int] = set()
        self.collected: set[int] = set()
        self.log: list[str] = []

    # ------------------------------------------------------------------ acts

    def command(
        self,
        person: str,
        cluster: str,
        *argv: str,
        kill_after: float | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> tuple[int, str]:
        """Runs one `paraschut` command on a login node of a cluster; returns its status and output.

        Args:
            kill_after: seconds after which the process is killed with SIGKILL.
            meanwhile: what happens while the command waits for the answer to its question, which is yes.
        """
        who = self.people[person]
        output = self.folder / "output"
        asked, answer = os.pipe(), os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                status = self._child(who, cluster, argv, output, asked[1], answer[0])
            finally:
                os._exit(status)
        os.close(asked[1])
        os.close(answer[0])
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)
        if meanwhile is not None and os.read(asked[0], 1):
            meanwhile()
        try:
            os.write(answer[1], b"y")
        except BrokenPipeError:
            pass  # it was killed, or it asked nothing
        os.close(asked[0])
        os.close(answer[1])  # a second question reads the end, and is answered with yes as well
        _, wait_status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(wait_status)
        text = output.read_text(errors="replace") if output.exists() else ""
        self.log.append(f"{person} on {cluster}: paraschut {' '.join(argv)} -> {code}\n{text}")
        assert code in (0, 1, 2, -signal.SIGKILL), f"status {code}:\n{text}"
        assert "Traceback" not in text and "fault of Paraschut" not in text, text
        self.learn()
        return code, text

    def _child(
        self, who: Person, cluster: str, argv: Sequence[str], output: Path, asked: int, answer: int
    ) -> int:
        # That version did not look who may write to what it made, and this one uses none that others may.
        os.umask(0o022 if who.version else 0)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - the child's own
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        os.environ.update(self.clusters[cluster].environment)
        os.chdir(who.cwd)
        os.environ.pop("PARASCHUT_DB", None)
        if self.in_jobs is not None:
            os.environ["PYTHONPATH"] = str(self.in_jobs)
        if who.version:
            os.environ["PYTHONPATH"] = who.version
            os.environ["PARASCHUT_TEST_VERSION"] = "earlier"  # the cluster hands it to the job
            code = "import sys; from paraschut_core.cli import main; sys.exit(main())"
            os.execv(sys.executable, [sys.executable, "-c", code, *argv])
        if who.uid != os.getuid():
            os.setgroups([])
            os.setgid(who.uid)
            os.setuid(who.uid)
        import click

        from paraschut_core.cli import main

        def confirm(*_: object, **__: object) -> bool:
            os.write(asked, b"?")
            os.read(answer, 1)
            return True

        click.confirm = confirm  # type: ignore[assignment]
        sys.stdin.isatty = lambda: True  # type: ignore[method-assign]
        if who.cwd != str(self.project):  # no configuration is found there
            os.environ["PARASCHUT_EXECUTOR"] = "slurm"
            argv = ["--db", str(self.database), *argv]
        status = main(list(argv))
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def add(self, person: str, cluster: str, jobs: int, name: str, *, chain: bool = False) -> None:
        """Adds a batch of plain commands."""
        options = ["--chain"] if chain else []
        self.command(
            person,
            cluster,
            *("add", "--name", name, "--range", f"0-{jobs - 1}", "--cwd", str(self.work), *options),
            *("--", str(self.program), str(self.project)),
        )
        if self.database.exists():
            self.database.chmod(0o666)  # a project that its people share

    # ------------------------------------------------------------------ what is seen

    def sql(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.database, timeout=60.0)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def rows(self) -> dict[Key, tuple[str, str | None]]:
        """State and token of each job."""
        if not self.database.exists():
            return {}
        found = self.sql("SELECT BatchID, JobIndex, state, token FROM job")
        return {(int(b), int(i)): (str(s), t) for b, i, s, t in found}  # type: ignore[arg-type,misc]

    def tables(self) -> str:
        """The rows that decide whether a job is lost, for the message of a failure."""
        found = [
            f"{table}: {row}"
            for table in ("job", "ended", "poll")
            for row in self.sql(f"SELECT * FROM {table}")
        ]
        return "\n".join([*found, *(f"{name}: {c.jobs()}" for name, c in self.clusters.items())])

    def learn(self) -> None:
        """Remembers which token belonged to which job."""
        for key, (_, token) in self.rows().items():
            if token is not None:
                self.tokens[token] = key

    def starts(self) -> list[Start]:
        lines = (self.work / "starts").read_text().splitlines()
        words = [line.split() for line in lines]
        return [Start((int(b), int(i)), token, int(restart)) for b, i, token, restart in words]

    def token_of(self, job: dict[str, object]) -> str:
        """The token in a queued job's name: the words of the clusters, not of the index."""
        match = re.search(r"p([A-Za-z0-9]+)(?:-([0-9]+))?(?:_|$)", str(job["name"]))
        if match is None:
            return ""
        return f"{match[1]}-{job['task'] or match[2]}"

    def live(self) -> dict[str, Key]:
        """The tokens of all submissions that wait or run in any cluster, and whose they are."""
        found = {}
        for cluster in self.clusters.values():
            for job in cluster.jobs("PENDING", "RUNNING"):
                token = self.token_of(job)
                if token in self.tokens:
                    found[token] = self.tokens[token]
        return found

    @staticmethod
    def is_of_earlier_version(cluster: Slurm, id_: str) -> bool:
        """Whether a job was submitted by the earlier version: what that one writes of signals is its own."""
        (job,) = [job for job in cluster.jobs() if job["id"] == id_]
        return "PARASCHUT_TEST_VERSION" in job["environment"]

    # ------------------------------------------------------------------ machines

    def start(self, cluster: Slurm, id_: str) -> None:
        """Starts a waiting job, and waits until its own code runs, or it has been turned away."""
        (job,) = [job for job in cluster.jobs() if job["id"] == id_]
        before = len(self.starts())
        cluster.start(id_)
        process = cluster.processes[id_]
        token, restart = self.token_of(job), int(str(job["restarts"]))

        def begun() -> bool:
            mine = [s for s in self.starts()[before:] if (s.token, s.restart) == (token, restart)]
            return bool(mine) or process.poll() is not None

        wait_until(begun, f"job {id_} of {cluster.name} runs, or was turned away")
        cluster.reap()
        self.learn()

    def order(self, cluster: Slurm, id_: str, status: int) -> None:
        """Has a running job's own code end with this status, and waits until all of the job has ended."""
        (job,) = [job for job in cluster.jobs() if job["id"] == id_]
        path = self.work / "orders" / f"{self.token_of(job)}.{job['restarts']}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno in (errno.ENXIO, errno.ENOENT), error  # its code was killed already
        else:
            assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            os.write(descriptor, f"{status}\n".encode())
            os.close(descriptor)
        process = cluster.processes[id_]
        wait_until(lambda: process.poll() is not None, f"job {id_} of {cluster.name} has ended")
        cluster.reap()
        self.learn()
        token = self.token_of(job)
        self._check_folders()
        if status == 0 and token in self.tokens and token not in self.forced:
            state, now = self.rows().get(self.tokens[token], ("", None))
            path = Path(str(job["log"]))
            log = path.read_text(errors="replace") if path.is_file() else ""
            what = (
                f"{self.tokens[token]} did its work, and is {state} ({now}); exit status {process.returncode}"
            )
            assert state == "complete", f"{what}:\n{log}"
            self.completed.add(self.tokens[token])

    # ------------------------------------------------------------------ what must hold, always

    def check(self) -> None:
        rows = self.rows()
        if not rows and not self.tokens:
            return
        starts = self.starts()
        # Each submission's code starts once, and once more for each requeue by the scheduler.
        twice = [start for start, n in Counter(starts).items() if n > 1]
        assert not twice, f"ran twice: {twice}"
        # Two submissions of one job never live at once, unless a user gave the first one up by force.
        lives = Counter(key for token, key in self.live().items() if token not in self.forced)
        double = [key for key, n in lives.items() if n > 1]
        assert not double, f"jobs with two live submissions: {double}"
        # A submission that waits or runs is the index's too: nobody put the job back, or removed it.
        for token, key in self.live().items():
            if token in self.forced:
                continue
            assert key in rows, f"{key} was removed while {token} is live"
            state, now = rows[key]
            assert state != "init" and now == token, f"{key} is {state} with {now} while {token} is live"
        self._check_folders()
        # Complete is what finished its work, and stays so.
        for key, (state, _) in rows.items():
            if state == "complete":
                path = self.work / "done" / f"{key[0]}-{key[1]}"
                assert path.exists(), f"{key} counts as complete without having finished"
                self.completed.add(key)
        for key in self.completed:
            if key[0] not in self.removable:
                done = ("complete", "collected") if key[0] in self.collected else ("complete",)
                assert key in rows and rows[key][0] in done, f"{key} was complete, and is {rows.get(key)}"
        assert_sound(self.database)

    def _check_folders(self) -> None:
        robbed = self.work / "robbed"
        assert not robbed.exists(), f"running jobs lost their folders: {robbed.read_text()}"

    def settle(self, names: Sequence[str]) -> None:
        """Everything is honest again and every job is run to its end: none is lost.

        Args:
            names: the clusters on which people look and submit.
        """
        for cluster in self.clusters.values():
            cluster.tell(mode=HONEST, submit_fault="", accounts=True)
        for _ in range(12):
            if any(state == "submit" for state, _ in self.rows().values()) and not self.live():
                time.sleep(
                    2.5
                )  # a submission that was cut short is settled once it cannot be under way any more
            for cluster in self.clusters.values():
                cluster.reap()
                for job in cluster.jobs("PENDING"):
                    self.start(cluster, str(job["id"]))
                for job in cluster.jobs("RUNNING"):
                    self.order(cluster, str(job["id"]), 0)
                self.check()
            if all(state in ("complete", "collected") for state, _ in self.rows().values()):
                return
            for name in names:
                for _ in range(2):
                    self.command("ann", name, "queue", "--poll")
                self.command("ann", name, "resubmit", "--missing", "--yes")
                self.check()
            self.command("ann", names[0], "submit")
            self.check()
        left = {key: row for key, row in self.rows().items() if row[0] not in ("complete", "collected")}
        assert not left, f"lost: {left}\n{self.tables()}"

    def close(self) -> None:
        for cluster in self.clusters.values():
            cluster.close()
