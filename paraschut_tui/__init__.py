"""The dashboard: a Textual application upon paraschut_core."""
