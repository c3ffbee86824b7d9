"""Every registered mechanism keeps every law: one test for each pair, such as `eca-shape`."""

from foveal.testing import parametrize_with_checks


@parametrize_with_checks()
def test_conformance(check):
    check()
