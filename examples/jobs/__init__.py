"""What the service and the agents agree on: the states of a job, the receipt, and the messages between them."""
