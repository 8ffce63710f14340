"""HTML pages that stand alone: no script, nothing from elsewhere, charts as inline SVG."""
