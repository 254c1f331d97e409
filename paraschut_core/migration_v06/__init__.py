"""Import of databases of version 0.6. Nothing else depends on this room."""
