"""Faults in containers: a process beside Lucy, the warden, makes them and ends them."""
