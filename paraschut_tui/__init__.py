"""The dashboard: a Textual application upon paraschut_core."""

import paraschut_core as paraschut_core  # first: with `python -m` it puts the module path right
