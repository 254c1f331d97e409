"""The batch tree."""
