"""A package, so that the cluster ends with the last test of this folder and not with the last test of all."""
