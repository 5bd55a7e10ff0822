"""What a simulated daemon logs, and how it leaves."""
