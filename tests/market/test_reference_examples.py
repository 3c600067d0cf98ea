"""The rule files that the reference shows are files that Backfeed takes."""

import re
from decimal import Decimal
from pathlib import Path

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import parse_instant
from backfeed.market.demand_response import Direction
from backfeed.market.price import price_axis
from backfeed.market.programme import build_programme
from backfeed.market.table import build_rule
from backfeed.market.tariff_file import build_tariff

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tariffs.md"
TARIFF, PROGRAMME, OFFERS = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_tariff_of_the_reference_prices_a_day():
    tariff = build_rule(TARIFF, "reference", build_tariff)
    axis = TimeAxis(parse_instant("2026-05-04T00:00:00+02:00"), 900_000, 96)
    prices = price_axis(tariff, axis)
    assert (prices.buy[0], prices.sell[0]) == (Decimal("0.15"), Decimal("0.1"))
    assert prices.buy[72] == Decimal("0.63")
    assert prices.sell[72] == Decimal("0.425")


def test_the_programme_of_the_reference_is_one():
    programme = build_rule(PROGRAMME, "reference", build_programme)
    assert programme.directions == (Direction.PEAK_SHAVE, Direction.VALLEY_FILL)


def test_the_offers_of_the_reference_stand_in_the_same_page():
    assert "[[offers]]" in OFFERS
