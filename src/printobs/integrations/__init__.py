"""Floor 2: one module for each library that is instrumented; they do not import each other."""
