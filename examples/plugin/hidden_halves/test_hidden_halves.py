"""Run by `python -m pytest` in this folder; no TensorFlow and no server are needed."""

import numpy as np
from hidden_halves import HiddenHalves

from picasso.testing import contract, run

test_contract = contract(HiddenHalves)  # what every visualization must keep to, in sentences


def test_the_map_is_made_of_what_each_half_costs():
    for result in run(HiddenHalves, fill="black"):
        costs = [result["score"] - half["score"] for half in result["halves"]]
        np.testing.assert_allclose(result["map"].mean(), np.mean(costs), atol=1e-6)
