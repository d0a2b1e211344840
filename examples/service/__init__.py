"""The service of a restaurant group: takes print jobs over HTTP, and gives them to the agents of its branches.

Not durable yet: jobs live in this process's memory, and are gone when it ends.
"""
