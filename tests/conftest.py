"""Settings of the whole suite: hypothesis without deadlines, so that a compile is no failure."""

from hypothesis import settings

settings.register_profile("adderhw", deadline=None, print_blob=True)
settings.load_profile("adderhw")
