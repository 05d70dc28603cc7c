"""The Python API: what the commands do, on functions as well as on names, with results as plain frozen data."""
