"""Bytes in, records out: capture, framing, decoding, accounting, demultiplexing, and the recording between them.

Nothing is imported here: the capture process loads modules of this package one by one, without the rest of Lucy.
"""
