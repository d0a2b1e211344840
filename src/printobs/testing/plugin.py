"""A pytest plugin: fixtures `virtual_printer` and `otlp_sink`."""
