"""The job details tree."""
