"""Floor 1: what is measured, whatever the library: jobs, connections, propagation, correlation."""
