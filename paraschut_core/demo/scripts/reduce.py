"""The reduce job: adds up what the map jobs counted, and writes the result."""

from __future__ import annotations

import collections
import json
import os
import sys

import paraschut_core as psu


def main() -> None:
    job = psu.get_job_info(SetID=True)
    total: collections.Counter[str] = collections.Counter()
    for index in job["maps"]:
        part = psu.get_job_info(job["BatchID"], index)
        with open(part["result"]) as file:
            total.update(json.load(file))
        sys.stdout.write(f"job {index}: {part['identifiers']:,} identifiers\n")
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    result = {"identifiers": sum(total.values()), "distinct": len(total), "top": ranked[:20]}
    with open(f"{job['result']}.tmp", "w") as file:
        json.dump(result, file, indent=2)
    os.replace(f"{job['result']}.tmp", job["result"])
    job["distinct"] = len(total)
    sys.stdout.write(f"wrote {job['result']}\n")
    psu.set_complete(JobInfo=job, Submit=True)


if __name__ == "__main__":
    main()
