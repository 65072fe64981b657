"""What holds for all tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that run the workflow: they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
