"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)  # on two busy cores a limit in time would be a matter of luck
settings.load_profile("house")
