"""Budgets as people write them."""

import pytest

from foveal.choose import Budget, read_budget
from foveal.core.errors import FovealError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"memory": "8GB"}, Budget(memory=8_000_000_000)),
        ({"memory": "1.5 GiB"}, Budget(memory=1_610_612_736)),
        ({"memory": 4096}, Budget(memory=4096)),
        ({"latency": "20ms"}, Budget(milliseconds=20)),
        ({"latency": "0.5s"}, Budget(milliseconds=500)),
        ({"latency": "1.2x"}, Budget(ratio=1.2)),
        ({"parameters": "50k"}, Budget(parameters=50_000)),
        ({"parameters": "2M"}, Budget(parameters=2_000_000)),
        ({"parameters": "2%"}, Budget(share=0.02)),
        ({}, Budget()),
    ],
)
def test_units(given, read):
    assert read_budget(**given) == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"memory": "8 apples"}, "memory='8 apples' has no unit of bytes; write 8GB"),
        ({"memory": "much"}, "memory='much' must be a number of bytes such as 8GB"),
        ({"memory": 0}, "memory=0 must be above 0"),
        ({"memory": "-1GB"}, "memory='-1GB' must be"),
        ({"latency": "1.2"}, "latency='1.2' needs a unit"),
        ({"latency": "0.9x"}, "latency='0.9x' must be 1x or more"),
        ({"latency": "0ms"}, "leave it out for no limit"),
        (
            {"parameters": "2 percent"},
            "parameters='2 percent' has an unknown unit; write 50000, 50k",
        ),
        ({"parameters": "2q"}, "write 50000, 50k, 2M or 2%"),
        ({"parameters": True}, "parameters=True must be"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write(given, said):
    with pytest.raises(FovealError) as error:
        read_budget(**given)
    assert said in str(error.value)


def test_a_share_is_of_the_bare_models_parameters():
    assert read_budget(parameters="2%").parameters_of(50_000) == 1000
    assert read_budget(parameters="700").parameters_of(50_000) == 700
    assert read_budget().parameters_of(50_000) is None
