"""How long networks last, and the loops that pytest-asyncio gives. Imported in every session, it imports nothing."""

NETWORKS = {"lucy_network": "function", "lucy_module_network": "module", "lucy_session_network": "session"}
"""The fixtures, and the scope of each."""
LOOP_SCOPES = ("session", "package", "module", "class", "function")
"""Those of pytest-asyncio, the widest first."""
