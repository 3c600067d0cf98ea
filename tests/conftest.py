"""Hypothesis profiles: the same examples every time by default, many more at night."""

from hypothesis import HealthCheck, settings

# The machine that runs the tests may be busy with others; deadlines would measure that.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "nightly", parent=settings.get_profile("fixed"), derandomize=False, max_examples=1_000, print_blob=True
)
settings.load_profile("fixed")
