"""The service of a restaurant group: takes print jobs over HTTP, and gives them to the agents of its branches.

What it has accepted is on its disk, and ends with one outcome: docs/job-states.md.
"""
