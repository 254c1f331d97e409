"""`python -P -m paraschut_tui`: the same as the command `paraschut`."""

# No `from __future__` here: that would be looked for in the working directory, too.
import sys

from paraschut_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
