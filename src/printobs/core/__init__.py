"""Floor 0: names, cells, bounded attributes, the guard, the clock. Standard library and opentelemetry-api only."""
