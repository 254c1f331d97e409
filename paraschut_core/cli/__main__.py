"""`python -m paraschut_core.cli`: the same as the command `paraschut`; how jobs call it."""

from __future__ import annotations

import os
import sys


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # it was removed


# `-m` puts the working directory first in the module path, and a job's folder may well hold a json.py.
if (
    sys.path
    and sys.path[0] in ("", _here())
    and not os.path.isdir(os.path.join(sys.path[0], "paraschut_core"))
):
    del sys.path[0]

from paraschut_core.cli import main  # noqa: E402 - once the path is right

if __name__ == "__main__":
    sys.exit(main())
