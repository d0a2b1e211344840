"""Floor 3: putting it together: configure(), instrument(), the instrumentors, the command line."""
