"""What a library may be asked for: waits of the host, allocations."""
