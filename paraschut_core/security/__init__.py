"""What is trusted: owners of files, how Python is started, and confined processes."""
