"""The rows of the counter catalogue, one file a family; `diagnostics.counters` looks names up in them."""
