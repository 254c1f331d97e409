"""Care of a project: the doctor's checks, backup and recovery."""
