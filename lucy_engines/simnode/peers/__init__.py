"""What simulated daemons say to each other, and over which connections."""
