"""Executors: each turns "submit these, delete those, what is live?" into its scheduler's words."""
