"""`python -m paraschut_tui`: the same as the command `paraschut`."""

from __future__ import annotations

import sys

from paraschut_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
