"""What rdmatop costs, beside its peers: `python -m tests.bench`."""

from tests.bench.ratio import CannotMeasure, Ratio, at_least, at_most, median

__all__ = ["CannotMeasure", "Ratio", "at_least", "at_most", "median"]
