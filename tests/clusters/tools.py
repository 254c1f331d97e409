"""What the tests of executors share: jobs to submit, and what they left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from paraschut_core.model import JobKey, JobSpec

NASTY = {
    "NEWLINE": "one\ntwo\n",
    "COMMA": "a,b=c",
    "QUOTES": 'it\'s "quoted" `echo no`',
    "BACKSLASH": "C:\\new\\\\tail\\",
    "DOLLAR": "$HOME ${PATH} $(echo no)",
    "UNICODE": "naïve 日本語 🧬",
    "DASH": "-rf",
    "BLANKS": "  two  \t tabs\t",
    "EMPTY": "",
    "DIRECTIVES": "\n#SBATCH --mem=1P\n#$ -N other\n#PBS -q nowhere\n",
    "NOT_UTF8": "\udcff\udc80",
}
"""Values that a scheduler's own ways to pass variables would break."""


def group() -> str:
    """A new group: what the tokens of one submission share."""
    return os.urandom(5).hex()


def spec(
    folder: object,
    script: str,
    *,
    token: str | None = None,
    environment: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
    queue: str | None = None,
    directives: Sequence[str] = (),
    name: str = "human/genome map",
    cwd: object = None,
) -> JobSpec:
    """A job to submit, its logs in `folder` and named after its token."""
    token = token or f"{group()}-1"
    return JobSpec(
        key=JobKey(20260101000000, int(token.rpartition("-")[2])),
        attempt=1,
        token=token,
        name=name,
        script=script,
        queue=queue,
        resources=resources or {},
        directives=directives,
        environment=environment or {},
        stdout=f"{folder}/{token}.out",
        stderr=f"{folder}/{token}.err",
        cwd=str(cwd or folder),
        priority=1,
        job_info={},
    )


def specs(folder: object, scripts: Sequence[str], **more: Any) -> list[JobSpec]:
    """Jobs of one group, numbered from 1."""
    shared = group()
    return [spec(folder, script, token=f"{shared}-{n}", **more) for n, script in enumerate(scripts, 1)]


def read(path: object) -> str:
    """The text of a file; '' if it is not there (yet)."""
    try:
        with open(str(path), encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def environment_in(path: object) -> dict[str, str]:
    """What `env -0 > path` wrote."""
    pairs = (line.partition("=") for line in read(path).split("\0") if line)
    return {name: value for name, _, value in pairs}
