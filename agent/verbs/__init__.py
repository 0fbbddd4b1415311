"""The verbs worker, the only process that has RDMA devices open, and the client that asks it."""
