"""Following a file by its name, through rotation, links and truncation."""
