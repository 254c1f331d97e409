"""The dashboard's access to the core: worker threads and their requests."""
