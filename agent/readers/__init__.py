"""Readers of a node: each turns files or kernel answers below one root into plain facts."""
