"""Where snapshots come from; every source gives the same stream."""
