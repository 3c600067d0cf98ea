"""Statements as documents: JSON for programs, CSV for tables, HTML to print; the same bytes for the same books."""

import csv
import io
import json
from collections.abc import Mapping
from html import escape
from typing import Final

from backfeed.settle.bonus import Reason
from backfeed.settle.format import format_amount
from backfeed.settle.statement import Line, Statement
from backfeed.settle.transfer import Code

TITLES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Statement",
        "period": "Period",
        "all": "all days",
        "day": "Day",
        "what": "What for",
        "unit": "Unit",
        "amount": "Amount",
        "wear": "Battery wear paid for it",
        "total": "Total",
        "received": "Amounts are positive where you received and negative where you gave.",
        "head": "Head of the ledger",
    },
    "zh": {
        "title": "结算单",
        "period": "期间",
        "all": "全部日期",
        "day": "日期",
        "what": "项目",
        "unit": "单位",
        "amount": "金额",
        "wear": "已补偿的电池损耗",
        "total": "合计",
        "received": "正数为收入,负数为支出。",
        "head": "账本链首",
    },
}

CODE_WORDS: Final[Mapping[str, Mapping[Code, str]]] = {
    "en": {code: code.value.replace("_", " ") for code in Code},
    "zh": {
        Code.ENERGY_CHARGED: "充电电量",
        Code.ENERGY_DISCHARGED: "放电电量",
        Code.CHARGING_BILL: "充电电费",
        Code.SHARED_ENERGY: "站内互济电费",
        Code.DISCHARGE_REVENUE: "放电收入",
        Code.SUBSIDY: "补贴",
        Code.DR_AWARD: "需求响应中标",
        Code.DR_REVENUE: "需求响应收入",
        Code.DR_PENALTY: "需求响应考核",
        Code.WEAR: "电池损耗",
        Code.PAYOUT: "收益发放",
        Code.PAYOUT_BACKING: "权益准备金",
        Code.SITE_SHARE: "场地分成",
        Code.AGGREGATOR_SHARE: "聚合商分成",
        Code.TOP_UP: "聚合商补足",
        Code.GUARANTEE: "收益保障",
        Code.PROMPT_BONUS: "应答奖励",
        Code.WEAR_TRUE_UP: "电池损耗年度补足",
        Code.REDEMPTION: "权益兑换",
        Code.EXPIRY: "权益到期",
        Code.ROUNDING: "尾差",
        Code.QUARANTINE: "存疑电量（冻结）",
        Code.DETAIL: "计量明细更新",
        Code.BANK_PAYMENT: "银行支付",
        Code.MONTH_CLOSE: "月结",
        Code.MONTH_REOPEN: "反月结",
    },
}

WHY: Final[Mapping[str, Mapping[Code, str]]] = {
    "en": {
        Code.ENERGY_CHARGED: "what the meter counted into your car",
        Code.ENERGY_DISCHARGED: "what the meter counted out of your car",
        Code.CHARGING_BILL: "energy from the grid, at the tariff of each quarter-hour",
        Code.SHARED_ENERGY: "energy from another car behind the same meter, at the price of charging",
        Code.WEAR: "what giving energy took from your battery; shown, not charged",
        Code.PAYOUT: "your battery's wear, what the energy cost to charge, and your share as agreed",
        Code.GUARANTEE: "made up, so that you end no worse off than charging at once",
        Code.PROMPT_BONUS: "you were asked in the app, and answered",
        Code.WEAR_TRUE_UP: "what your battery was measured to lose beyond what had been paid",
        Code.REDEMPTION: "coupon or credit given back against charging",
        Code.EXPIRY: "not used in time",
        Code.QUARANTINE: "held until a doubt about the meter is cleared",
        Code.BANK_PAYMENT: "paid to your account",
        Code.SITE_SHARE: "the site's share as agreed",
    },
    "zh": {
        Code.ENERGY_CHARGED: "电表计入您车辆的电量",
        Code.ENERGY_DISCHARGED: "电表计出您车辆的电量",
        Code.CHARGING_BILL: "来自电网的电量，按每刻钟电价计",
        Code.SHARED_ENERGY: "同一电表后其他车辆的电量，按充电价计",
        Code.WEAR: "放电造成的电池损耗；仅列示，不收费",
        Code.PAYOUT: "电池损耗、所放电量的充电成本及约定分成",
        Code.GUARANTEE: "补足，使您不劣于即插即充",
        Code.PROMPT_BONUS: "您在应用中回答了提问",
        Code.WEAR_TRUE_UP: "实测电池损耗超出已付部分的补付",
        Code.REDEMPTION: "以券或额度抵扣充电费",
        Code.EXPIRY: "逾期未使用",
        Code.QUARANTINE: "计量存疑，核实前冻结",
        Code.BANK_PAYMENT: "已付至您的账户",
        Code.SITE_SHARE: "约定的场地分成",
    },
}
"""Why a line of an owner's or a site's statement is there; other holders know their codes."""

_STYLE: Final = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:48rem;color:#111}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.25rem .5rem;border-bottom:1px solid #ccc;text-align:left}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tfoot td{font-weight:600}"
    "footer{margin-top:2rem;font-size:11px;color:#555;overflow-wrap:anywhere}"
    "@media print{body{margin:0}tr{break-inside:avoid}}"
)


def statement_json(statement: Statement, head: str = "") -> bytes:
    """Return a statement as JSON; amounts are whole Wh or 1e-6 of their unit."""
    document = {
        "role": statement.role.value,
        "holder": statement.holder,
        "period": statement.period,
        "lines": [
            {"day": line.day, "code": line.code.value, "unit": line.unit, "amount": line.amount}
            | ({} if line.wear_micro is None else {"wear_micro": line.wear_micro})
            | ({"answers": [_answer(*each) for each in line.reasons]} if line.reasons else {})
            for line in statement.lines
        ],
        "totals": dict(statement.totals),
        "transfers": statement.transfers,
        "ledger_head": head,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _answer(paid: int, reason: Reason) -> dict[str, str | int]:
    """Return what one answer was paid, and why."""
    words = {"words": reason.words("en"), "words_zh": reason.words("zh")}
    return {"amount": paid, "verdict": reason.verdict.value, **words}


def statement_csv(statement: Statement) -> bytes:
    """Return a statement's lines as CSV with decimal amounts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["role", "holder", "day", "code", "unit", "amount", "wear"])
    for line in statement.lines:
        amount = format_amount(line.amount, line.unit)
        holder = _no_formula(statement.holder)
        writer.writerow([statement.role.value, holder, line.day, line.code.value, line.unit, amount, _wear(line)])
    return text.getvalue().encode()


def _wear(line: Line) -> str:
    """Return the wear of a discharged energy as a decimal amount; nothing for other lines."""
    return "" if line.wear_micro is None else format_amount(line.wear_micro, "")


def _no_formula(text: str) -> str:
    """Keep a spreadsheet from running a name as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _why(line: Line, language: str) -> str:
    """Return why a line is there, in small print below its name."""
    reasons = [f"{format_amount(paid, line.unit)}: {reason.words(language)}" for paid, reason in line.reasons]
    reasons = reasons or [WHY[language].get(line.code, "")]
    return "".join(f"<br><small>{escape(reason)}</small>" for reason in reasons if reason)


def statement_html(statement: Statement, head: str = "", language: str = "en") -> bytes:
    """Return a statement as one HTML page without scripts, to read and to print.

    Parameters
    ----------
    statement
        Whose lines and totals.
    head
        Head of the ledger that it was made from, printed below.
    language
        `en` or `zh`.
    """
    words, codes = TITLES[language], CODE_WORDS[language]
    period = escape(statement.period) or words["all"]
    rows = "".join(
        f"<tr><td>{escape(line.day)}</td><td>{escape(codes[line.code])}{_why(line, language)}</td>"
        f"<td>{escape(line.unit)}</td>"
        f'<td class="n">{format_amount(line.amount, line.unit)}</td><td class="n">{_wear(line)}</td></tr>'
        for line in statement.lines
    )
    totals = "".join(
        f'<tr><td colspan="2">{words["total"]}</td><td>{escape(unit)}</td>'
        f'<td class="n">{format_amount(amount, unit)}</td><td></td></tr>'
        for unit, amount in statement.totals
    )
    head_line = f"<br>{words['head']} {escape(head)}" if head else ""
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f"<title>{words['title']} {escape(statement.holder)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{words['title']}: {escape(statement.holder)}</h1><p>{words['period']}: {period}</p>"
        f"<table><thead><tr><th>{words['day']}</th><th>{words['what']}</th><th>{words['unit']}</th>"
        f'<th class="n">{words["amount"]}</th><th class="n">{words["wear"]}</th></tr></thead><tbody>{rows}</tbody>'
        f"<tfoot>{totals}</tfoot></table>"
        f"<footer>{words['received']}{head_line}</footer></body></html>\n"
    )
    return page.encode()
