"""The agent in a cluster: the API server, who may ask, and what the node says of itself."""
