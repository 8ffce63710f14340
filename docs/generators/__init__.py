"""What makes the generated pages of docs/: one module a page, or a group of pages."""
