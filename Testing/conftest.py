"""What every random test runs under."""

from __future__ import annotations

from fuzzing import TIMES
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ENSAM",
    max_examples=100 * TIMES,
    derandomize=TIMES == 1,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ENSAM")
