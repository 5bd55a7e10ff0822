"""A simulator of a Mina daemon: mina's command line, logs and GraphQL, without its cryptography.

No cryptography, no claim about real Mina rests on it. What is real are processes, sockets, signals, files and
clocks: a stopped, paused or cut-off simulator has its true effect on the others, so that Lucy's engines, waits and
reports can be exercised in seconds.

Its modules, each standing on those before it: `identifiers`, `ledger`, `runtime_config`, `election`, `blocks`,
`mempool`, `chain`, `messages` (values and plain objects); `event_lines`, `logs`, `flood` (what is logged, and how it
leaves); `storage`, `gossip`, `command_line`, `daemon`, `schema`, `graphql_api`, `http_server`, and `__main__`.
"""
