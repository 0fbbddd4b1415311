"""What a person sees and types: the command line, the sources of snapshots and the screens."""
