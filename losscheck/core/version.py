"""The version, which reports and state files carry."""

__all__ = ["__version__"]

__version__ = "0.1.0"
