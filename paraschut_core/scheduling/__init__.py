"""Which jobs may be submitted, and submitting each exactly once."""
