"""What is measured of answers to images."""
