"""What runs on a node: readers, the sampler, the verbs worker, benchmarks and the HTTP interface."""
