"""What each section of a report holds."""
