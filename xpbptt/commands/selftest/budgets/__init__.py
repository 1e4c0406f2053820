"""What a library may be asked for: waits of the host, calls of a time step, allocations."""
