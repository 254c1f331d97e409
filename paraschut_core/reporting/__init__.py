"""Reports for people: the queue, statistics, the notebook table."""
