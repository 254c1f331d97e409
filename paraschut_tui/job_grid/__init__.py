"""The job grid: cells or rows of the states of up to millions of jobs."""
