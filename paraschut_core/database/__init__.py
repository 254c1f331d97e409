"""The SQLite file: its tables, and reading and writing them. No other room knows SQL."""
