"""`python -P -m paraschut_core.cli`: the same as the command `paraschut`; how jobs call it."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
