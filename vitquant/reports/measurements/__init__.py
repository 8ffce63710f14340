"""What a report shows, measured; one thing a file."""
