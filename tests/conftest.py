"""What every test shares: how hard hypothesis tries, and what becomes of a test whose foreign judge is missing."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

ON_BUILD_SERVER = os.environ.get("CI") == "true"

# No deadline, no complaint about slowness: the machine may be busy with other tests, and a slow example is not a wrong
# one. A build server tries the same examples each time, so that it judges the change and not its luck; everybody else
# looks further at every run.
PATIENT = {"deadline": None, "print_blob": True, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("quick", derandomize=ON_BUILD_SERVER, **PATIENT)
hypothesis.settings.register_profile("full", max_examples=2_000, **PATIENT)
hypothesis.settings.load_profile("quick")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A build server must have every judge: there, an ``interop`` test that skips has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and ON_BUILD_SERVER and item.get_closest_marker("interop"):
        report.outcome = "failed"
        report.longrepr = f"skipped where CI=true: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module of tests/interop that skips when it is imported."""
    report = yield
    if report.skipped and ON_BUILD_SERVER and "interop" in collector.path.parts:
        report.outcome = "failed"
        report.longrepr = f"skipped where CI=true: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def tshark() -> Path:
    """Wireshark's command line; skips the test where it is not installed."""
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed")
    return Path(found)
