"""How fast files are, side by side, and how much memory they take."""
