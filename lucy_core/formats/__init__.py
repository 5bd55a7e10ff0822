"""Log formats: how a block of lines becomes records. Each is a plug-in behind one small contract."""
