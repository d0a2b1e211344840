"""A small till built with printobs: a service, an agent in each branch, and a demonstration of both."""
