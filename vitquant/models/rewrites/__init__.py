"""Rewrites that a float network is loaded with, and built again with: same outputs, one form."""
