"""The processes that Lucy starts for herself: one wire, one end in Lucy, one end in them.

A helper keeps what must outlive a blocked or killed test: nodes' lines, nodes' processes, the end of a fault. Lucy
starts it bare (`boot`), asks it over a socket (`channel`, `forms`), and hears how it ended (`helper`); its own loop
answers by `server`. All but `helper` and `calls` need the standard library alone.
"""
