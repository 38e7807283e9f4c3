"""The classes of what the engine makes most, by names of this module.

To compiled code a `Final` of a compiled module is a constant, at hand at once. The classes' own modules are not
compiled: their names it looks up in a dictionary, each time. Interpreted, both cost the same.
"""

from typing import Final

from matching.events import (
    OrderAccepted,
    OrderBooked,
    OrderCanceled,
    OrderExecuted,
    OrderReduced,
    OrderReplaced,
    OrderTerms,
)
from matching.outcomes import ClosedOrder, Trade

order_terms: Final[type[OrderTerms]] = OrderTerms
order_accepted: Final[type[OrderAccepted]] = OrderAccepted
order_booked: Final[type[OrderBooked]] = OrderBooked
order_executed: Final[type[OrderExecuted]] = OrderExecuted
order_canceled: Final[type[OrderCanceled]] = OrderCanceled
order_reduced: Final[type[OrderReduced]] = OrderReduced
order_replaced: Final[type[OrderReplaced]] = OrderReplaced
closed_order: Final[type[ClosedOrder]] = ClosedOrder
trade_of: Final[type[Trade]] = Trade
