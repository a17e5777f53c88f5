"""Picasso shows what a trained vision model looks at."""

__version__ = "0.1.0"
