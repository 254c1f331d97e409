"""Filters over jobs: the filter language, SQL conditions, and their scan of a file of any size."""
