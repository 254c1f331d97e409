"""What the scheduler and the database say together: polls, live and missing jobs, snapshots."""
