"""What printobs costs, beside what one would use instead, in the same run: ``make bench``; see docs/performance.md."""
