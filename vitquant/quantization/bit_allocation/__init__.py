"""Which bits suit which layer, measured without labels, and the best choice under a budget."""
