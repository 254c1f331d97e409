"""Paraschut: parallel job scheduling utilities."""

__version__ = "0.7.0"
