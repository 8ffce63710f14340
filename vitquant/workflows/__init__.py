"""One function for each command; the Python API and the command line call them."""
