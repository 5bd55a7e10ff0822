"""A simulator of a Mina daemon: mina's command line, logs and GraphQL, without its cryptography.

No cryptography, no claim about real Mina rests on it. What is real are processes, sockets, signals, files and
clocks: a stopped, paused or cut-off simulator has its true effect on the others, so that Lucy's engines, waits and
reports can be exercised in seconds.

The rooms, each standing on those before it: `identifiers`, `runtime_config`, `election`, `ledger`, `mempool`,
`blocks`, `chain` (values and plain objects); `events`, `logs`, `output`, `flood` (what is logged, and how it leaves);
`messages`, `participant` (what a node decides, without I/O); `gossip`, `storage`, `http_server`, `schema`,
`graphql_api`, `daemon`, `snark_worker` (the shell); `command_line`, `__main__` (the program).
"""
