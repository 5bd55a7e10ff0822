"""A simulator of a Mina daemon: mina's command line, logs and GraphQL, without its cryptography.

No cryptography, no claim about real Mina rests on it. What is real are processes, sockets, signals, files and
clocks: a stopped, paused or cut-off simulator has its true effect on the others, so that Lucy's engines, waits and
reports can be exercised in seconds.

Its rooms, each standing on those before it: `chain` (values and plain objects), `logs`, `peers`, `command_line`,
`daemon`, `api`, and the program, `__main__`.
"""
