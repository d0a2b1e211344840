"""The real backend on this machine, as processes: what ``make stack`` starts, from the files in ``collector/``."""
