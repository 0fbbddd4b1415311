"""Benchmarks: what is asked, what is allowed, what is expected and what it means."""
