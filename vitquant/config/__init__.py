"""Every setting, declared once: option, keyword, recipe key, check and help. No torch."""
