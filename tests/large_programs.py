"""Programs too large to be fetched for a test: OpenSCAD and Chromium bring half a desktop along.

Where they are missing, the tests that need them say so and are skipped; what can be judged without them is judged by
others. With FOOTFALL_LARGE_PROGRAMS=required (as in `.ci/run`, which installs them) a missing one is a failure.
"""

import os

import pytest

REQUIRED = os.environ.get("FOOTFALL_LARGE_PROGRAMS") == "required"


def needs_large_program(program: object, without: str) -> pytest.MarkDecorator:
    """A mark for tests that need `program` (None where it is missing); `without` says what is not checked then."""
    return pytest.mark.skipif(program is None and not REQUIRED, reason=without)
