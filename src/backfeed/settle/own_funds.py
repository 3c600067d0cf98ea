"""Payments out of the aggregator's own funds: what no market receipt stands behind, and the books therefore name."""

from dataclasses import dataclass

from backfeed.settle.account import Role, account_id
from backfeed.settle.transfer import Code, Transfer


@dataclass(frozen=True, slots=True)
class OwnFunds:
    """Whose funds pay, in which currency, on which local day (`YYYY-MM-DD`), in force from when."""

    aggregator: str
    currency: str
    day: str
    at_ms: int

    def pay(self, code: Code, what: str, owner: str, amount_micro: int, evidence: str) -> Transfer:
        """Return the transfer that pays an owner in cash; `what` tells it from others of that code and day."""
        return Transfer(
            id=f"{self.day}/{code}/{what}",
            debit=account_id(Role.AGGREGATOR, self.aggregator, self.currency),
            credit=account_id(Role.OWNER, owner, self.currency),
            amount=amount_micro,
            unit=self.currency,
            code=code,
            at_ms=self.at_ms,
            evidence=evidence,
        )
