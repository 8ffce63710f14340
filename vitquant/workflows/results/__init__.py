"""What the verbs return, and what of it is printed as JSON."""
