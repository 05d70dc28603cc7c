"""Settings every test shares: reproducible hypothesis runs, and the reason given where a CUDA test cannot run."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("losscheck", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("losscheck")


def pytest_runtest_setup(item):
    """Skip a test marked ``cuda`` where torch finds no such device; torch is imported for those tests alone."""
    if item.get_closest_marker("cuda") is None:
        return
    torch = pytest.importorskip("torch", reason="the CUDA tests need PyTorch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: torch.cuda.is_available() is False")
