"""The filter language: read, completed, made into SQL."""
