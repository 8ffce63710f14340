"""Charts without a script: tables with color or bars in them, and inline SVG."""
