"""The filter bar and its completion."""
