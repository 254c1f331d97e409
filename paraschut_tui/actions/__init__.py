"""Actions on jobs: registry, targets, preview, confirmation, execution."""
