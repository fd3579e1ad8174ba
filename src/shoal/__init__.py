"""Shoal: a complete Linux Virtual Server cluster. Start reading at ARCHITECTURE.md."""

__version__ = "0.1.0"
