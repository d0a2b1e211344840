"""The agent of a branch: holds its printers, takes jobs from the service, and tells how they ended."""
