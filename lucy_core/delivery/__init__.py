"""From the recording to whoever asked: what is wanted, what is read and decoded, who gets it."""
