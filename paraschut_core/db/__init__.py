"""The SQLite file, and nothing else knows SQL."""
