"""The configuration file: one TOML file for the cluster, the same on every router."""

from shoal.config.build import digest
from shoal.config.load import load, parse

__all__ = ["digest", "load", "parse"]
