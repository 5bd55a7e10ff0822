"""One run, from its options to its last file; and a finished one, asked again."""
