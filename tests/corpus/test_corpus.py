"""Seeded cases of damaged and of misleading input: none silent, none a traceback, no file of the user changed.

pytest tests/corpus                                   the usual number of cases, the same each time
pytest tests/corpus --corpus 5000                     more of them
pytest tests/corpus --corpus 5000 -k smooth_grey-217] one of them again
"""

import pytest

from tests.corpus import (
    cases_archives,
    cases_frames,
    cases_masks,
    cases_names,
    cases_options,
    cases_outputs,
    cases_training,
)
from tests.corpus.runner import judge

MODULES = (cases_masks, cases_names, cases_frames, cases_outputs, cases_options, cases_archives, cases_training)
FAMILIES = {family.__name__: family for module in MODULES for family in module.FAMILIES}
COUNT = 2 * len(FAMILIES)


def pytest_generate_tests(metafunc):
    """Each family in turn, until there are enough cases."""
    count = metafunc.config.getoption("corpus") or COUNT
    names = list(FAMILIES)
    cases = [(names[number % len(names)], number // len(names)) for number in range(count)]
    metafunc.parametrize("family, number", cases, ids=[f"{family}-{number}" for family, number in cases])


def test_a_case_ends_right_or_with_a_word(family, number, make_scene, seen, texts, record_property):
    scene = make_scene((family, "-", number))
    case = FAMILIES[family](scene)
    seen.clear()
    outcome = judge(case, scene, seen, texts)
    record_property("outcome", outcome.kind)
    if outcome.fault:
        command = " ".join(map(str, case.arguments))
        pytest.fail(f"{family}-{number}: {outcome.kind}: {outcome.fault}\n{command}\n{outcome.text}", pytrace=False)
