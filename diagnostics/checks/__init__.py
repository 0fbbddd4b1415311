"""One file a layer; a check is a pure function from a node's state to findings."""
