"""Options of the whole suite."""


def pytest_addoption(parser):
    parser.addoption("--corpus", type=int, metavar="N", help="run N cases of tests/corpus instead of its usual number")
