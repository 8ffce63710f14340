"""Prepare, calibrate, convert: the steps that all methods share."""
