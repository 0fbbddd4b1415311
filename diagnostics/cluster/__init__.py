"""Kubernetes as rdmatop reads it: the objects, what they mean, and how they become rows."""
