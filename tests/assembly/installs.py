"""Code that comes first in a process of its own, so that something is not installed there."""

# Neither the module nor what the distribution offers.
WITHOUT_OTLP = """
import sys
from importlib import metadata
whole, missing = metadata.MetadataPathFinder.find_distributions, "opentelemetry-exporter-otlp-proto-http"
metadata.MetadataPathFinder.find_distributions = lambda *context: (d for d in whole(*context) if d.name != missing)
sys.modules["opentelemetry.exporter.otlp.proto.http"] = None
"""
