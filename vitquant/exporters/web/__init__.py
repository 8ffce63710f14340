"""A folder with a page that classifies pictures in a browser."""
