"""Options of the whole suite."""


def pytest_addoption(parser):
    parser.addoption("--corpus", type=int, metavar="N", help="run N cases of tests/corpus instead of its usual number")


def pytest_collection_modifyitems(items):
    """Slow files first, so that no process is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
