"""Groups of the settings that ``quantize`` has."""
