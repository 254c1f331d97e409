"""The dashboard's screens and dialogs, one a file."""
