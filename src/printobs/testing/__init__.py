"""Floor 3: parts for tests: VirtualPrinter, OtlpSink and a pytest plugin."""
