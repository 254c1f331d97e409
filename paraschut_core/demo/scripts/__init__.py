"""The scripts of the example's jobs, copied into its directory: they import nothing but the public API."""
