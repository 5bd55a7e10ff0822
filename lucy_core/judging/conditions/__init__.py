"""What a wait can wait for."""
