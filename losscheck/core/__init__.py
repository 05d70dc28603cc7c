"""The vocabulary and plain data that everything else is written in."""
