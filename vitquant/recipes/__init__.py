"""Settings of published runs, as TOML files: ``vitquant quantize --recipe NAME``."""
