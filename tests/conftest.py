"""What all tests share."""

from hypothesis import settings

# How long one example takes depends on what else the machine is doing, and says nothing about the code.
settings.register_profile("sfu", deadline=None)
settings.load_profile("sfu")
