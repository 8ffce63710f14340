"""The mathematics: from a float model to an integer one."""
