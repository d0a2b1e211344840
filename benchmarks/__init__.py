"""What printobs costs, beside named peers, in one run."""
