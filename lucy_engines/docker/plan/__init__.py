"""What is about to be made, as pure values."""
