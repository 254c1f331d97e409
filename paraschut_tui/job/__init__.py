"""What is told of one job, without a screen."""
