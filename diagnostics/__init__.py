"""What rdmatop knows and concludes: wire types, the counter catalogue, rates, link arithmetic and checks. No I/O."""
