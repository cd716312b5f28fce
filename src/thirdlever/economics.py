"""The economics of a decision: one door to what its parts compute.

`costs(run, a)` says what candidates cost under the assumptions that `assumptions.assume` puts together,
`payback(tuned, prompted, a)` holds two of them against each other, and `sensitivity` asks what a verdict hangs on.
"""

from thirdlever.break_even import break_even_requests, payback_months, required_fall
from thirdlever.costing import costs
from thirdlever.costs import Cost
from thirdlever.payback import Payback, payback
from thirdlever.sensitivity import Flip, sensitivity

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
