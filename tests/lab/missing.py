"""A part of the lab that is not here: skipped with its reason on a person's machine, a failure where CI=true."""

import os
from typing import NoReturn

import pytest


def must_run() -> bool:
    return os.environ.get("CI") == "true"


def without(reason: str) -> NoReturn:
    """End this test because the lab lacks something that could be there."""
    if must_run():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
