"""`python -P -m paraschut_core`: the same as the command `paraschut`.

Without `-P` Python looks for `paraschut_core` itself in the working directory first, whoever's that is.
"""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
