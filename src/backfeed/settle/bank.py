"""Paying out: what owners are owed in cash, as transfers and as a file for the bank.

What an owner is owed is what payouts credited and payments have not yet taken; the bill for charging is a
matter between owner and retailer and is not set off. A bank pays whole cents, so the rest below a cent stays
on the account for the next time.

The file is ISO 20022 `pain.001.001.03`, the credit-transfer message that banks take in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from backfeed.core.instant import to_datetime
from backfeed.core.money import MICRO
from backfeed.core.problem import InputError, Problem
from backfeed.settle.account import Role, account_id, holder_of
from backfeed.settle.transfer import Code, Phase, Transfer

MICRO_PER_CENT = MICRO // 100
RUN_LENGTH_MAX = 28
"""Ids in the message have at most 35 characters, and a number is added to the run's name."""
_PAYOUT_CODES = frozenset({Code.PAYOUT, Code.GUARANTEE, Code.PROMPT_BONUS, Code.WEAR_TRUE_UP})


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where a holder is paid: the name of the holder, the IBAN or account number, and the bank's identifier."""

    name: str
    number: str
    bank_id: str


def owed(transfers: Iterable[Transfer], currency: str) -> dict[str, int]:
    """Return what each owner is still owed in cash, in 1e-6 of the currency, by owner, sorted; nothing is left out."""
    claims: dict[str, int] = {}
    for transfer in transfers:
        if transfer.unit != currency or transfer.phase not in (Phase.SINGLE, Phase.POST):
            continue
        if transfer.code not in _PAYOUT_CODES and transfer.code is not Code.BANK_PAYMENT:
            continue
        for side, sign in ((transfer.credit, 1), (transfer.debit, -1)):
            role, holder, _ = holder_of(side)
            if role is Role.OWNER:
                claims[holder] = claims.get(holder, 0) + sign * transfer.amount
    return dict(sorted(claims.items()))


def bank_payments(
    transfers: Iterable[Transfer], currency: str, run: str, at_ms: int, bank: str = "bank"
) -> tuple[Transfer, ...]:
    """Return the transfers that pay all owners what they are owed, in whole cents.

    Parameters
    ----------
    transfers
        The books.
    currency
        What is paid.
    run
        Name of the payment run, unique: it makes the transfers' ids.
    at_ms
        When the payments take effect.
    bank
        Holder of the account that is paid from.
    """
    payments = []
    for owner, claim in owed(transfers, currency).items():
        amount = claim // MICRO_PER_CENT * MICRO_PER_CENT
        if amount > 0:
            payments.append(
                Transfer(
                    id=f"bank/{run}/{owner}",
                    debit=account_id(Role.OWNER, owner, currency),
                    credit=account_id(Role.BANK, bank, currency),
                    amount=amount,
                    unit=currency,
                    code=Code.BANK_PAYMENT,
                    at_ms=at_ms,
                    evidence=f"payment run {run}",
                )
            )
    return tuple(payments)


def bank_file(
    payments: Sequence[Transfer], accounts: Mapping[str, BankAccount], payer: BankAccount, run: str, day: str
) -> bytes:
    """Return the payments as an ISO 20022 credit-transfer message.

    Parameters
    ----------
    payments
        From `bank_payments`.
    accounts
        Where each owner is paid.
    payer
        The account that is paid from.
    run
        Name of the payment run; the message's id.
    day
        The day on which the bank is to pay, `YYYY-MM-DD`.

    Raises
    ------
    InputError
        If the account of an owner is not known, there is nothing to pay, or the run's name is too long.
    """
    if len(run) > RUN_LENGTH_MAX:
        raise InputError([Problem(run, f"a payment run's name has at most {RUN_LENGTH_MAX} characters")])
    owners = [holder_of(payment.debit)[1] for payment in payments]
    missing = tuple(owner for owner in owners if owner not in accounts)
    if missing:
        raise InputError([Problem("bank accounts", "no account is known for these owners", missing)])
    if not payments:
        raise InputError([Problem(run, "there is nothing to pay")])
    total = sum(payment.amount for payment in payments)
    currency = payments[0].unit
    rows = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>{escape(run)}-{number}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{escape(currency)}">{_cents(payment.amount)}</InstdAmt></Amt>'
        f"{_party('Cdtr', accounts[owner])}<RmtInf><Ustrd>{escape(payment.id)}</Ustrd></RmtInf></CdtTrfTxInf>"
        for number, (payment, owner) in enumerate(zip(payments, owners, strict=True), 1)
    )
    made = to_datetime(payments[0].at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
    count_and_sum = f"<NbOfTxs>{len(payments)}</NbOfTxs><CtrlSum>{_cents(total)}</CtrlSum>"
    message = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn>'
        f"<GrpHdr><MsgId>{escape(run)}</MsgId><CreDtTm>{made}</CreDtTm>{count_and_sum}"
        f"<InitgPty><Nm>{escape(payer.name)}</Nm></InitgPty></GrpHdr>"
        f"<PmtInf><PmtInfId>{escape(run)}</PmtInfId><PmtMtd>TRF</PmtMtd>{count_and_sum}<ReqdExctnDt>{day}</ReqdExctnDt>"
        f"{_party('Dbtr', payer)}{rows}</PmtInf></CstmrCdtTrfInitn></Document>\n"
    )
    return message.encode()


def _party(role: str, account: BankAccount) -> str:
    """Return a party, its account and its bank, in the order that the message asks for on either side."""
    name = f"<{role}><Nm>{escape(account.name)}</Nm></{role}>"
    number = f"<{role}Acct><Id><Othr><Id>{escape(account.number)}</Id></Othr></Id></{role}Acct>"
    bank = f"<{role}Agt><FinInstnId><BIC>{escape(account.bank_id)}</BIC></FinInstnId></{role}Agt>"
    return name + number + bank if role == "Dbtr" else bank + name + number


def _cents(amount_micro: int) -> str:
    whole, cents = divmod(amount_micro // MICRO_PER_CENT, 100)
    return f"{whole}.{cents:02d}"
