"""losscheck: where loss implementations break, exactly."""

__version__ = "0.1.0"
