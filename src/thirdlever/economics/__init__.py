"""The economics of a decision: one door to what its parts compute.

`costs(run, a)` says what candidates cost under the assumptions that `assumptions.assume` puts together,
`payback(tuned, prompted, a)` holds two of them against each other, and `sensitivity` asks what a verdict hangs on.
"""

from thirdlever.economics.break_even import break_even_requests, payback_months, required_fall
from thirdlever.economics.costing import costs
from thirdlever.economics.costs import Cost
from thirdlever.economics.payback import Payback, payback
from thirdlever.economics.sensitivity import Flip, sensitivity

__all__ = [
    "Cost",
    "Flip",
    "Payback",
    "break_even_requests",
    "costs",
    "payback",
    "payback_months",
    "required_fall",
    "sensitivity",
]
