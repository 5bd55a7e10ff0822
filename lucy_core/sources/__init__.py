"""Lines without a network: files, FIFOs, sockets, processes and the system's journal as one pipeline."""
