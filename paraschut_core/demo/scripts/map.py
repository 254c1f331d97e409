"""A map job: counts the identifiers in its share of the files, and keeps the counts for the reduce job."""

from __future__ import annotations

import collections
import json
import keyword
import os
import sys
import time
import tokenize
import traceback
from typing import Any

import paraschut_core as psu


def say(text: str) -> None:
    """A line on stdout, at once: whoever follows the log wants to see it now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def count(path: str) -> collections.Counter[str]:
    """How often each identifier stands in a Python file."""
    with open(path, "rb") as file:
        names = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME]
    return collections.Counter(name for name in names if not keyword.iskeyword(name))


def share_of(job: dict[str, Any]) -> list[str]:
    """The files that this job is to read; one job has to get the list of them from an archive first."""
    if "archived" not in job:
        return list(job["files"])
    try:
        with open(job["archived"]) as file:
            return list(json.load(file))
    except FileNotFoundError:
        # As with a tape archive: whoever asks for a file makes it come, but it is there only later.
        os.makedirs(os.path.dirname(job["archived"]), exist_ok=True)
        with open(job["archived"], "w") as file:
            json.dump(job["files"], file)
        raise


def main() -> None:
    job = psu.get_job_info(SetID=True)
    files = share_of(job)
    total: collections.Counter[str] = collections.Counter()
    for number, name in enumerate(files, 1):
        found = count(os.path.join(job["source"], name))
        total.update(found)
        say(f"{number:3d}/{len(files)}  {name}: {sum(found.values()):,} identifiers")
        time.sleep(job["pause"])  # 0 for all but the job that is to be watched
    result = os.path.join(job["folder"], f"counts_{job['JobIndex']}.json")
    with open(f"{result}.tmp", "w") as file:
        json.dump(total, file)
    os.replace(f"{result}.tmp", result)
    job["result"] = result
    job["identifiers"] = sum(total.values())
    job["most_frequent"] = total.most_common(3)
    say(f"wrote {result}")
    psu.set_complete(JobInfo=job, Submit=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:  # noqa: BLE001 - whatever it is, it goes to stderr and into the exit status
        traceback.print_exc()
        sys.exit(3)
