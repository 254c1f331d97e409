"""Executors of batch schedulers: Slurm, Grid Engine, PBS."""
