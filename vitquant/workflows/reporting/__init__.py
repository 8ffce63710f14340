"""The report on a checkpoint: what it needs is opened, and its sections are measured."""
