"""Recompute every statement of a run from its meter readings, and compare it with the ledger to the last millionth.

    .venv/bin/python tests/app/recompute.py PILOT.toml RUN

It shares no code with `backfeed.settle`: amounts are exact fractions, rounded half to even at the end; offers,
contracts and programmes are read from their files again; the ledger is read as rows. It takes as given what is physics
and not money: metered quarter-hours (`days/`), the wear of each day (`wear` in the ledger), prices, nameplates, and
what the event log says of connectors, awards and their baselines. What a car had come with whose driver was asked is
found again from its meter, its stops and its orders, and what the log says of it (`charge_shown`) is compared with
that. It exits with 1 and names every line that differs.

A run with cases in quarantine, corrections, or a closed month is refused: those are decisions, not arithmetic.
"""

import json
import sys
import tomllib
from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import polars as pl
import pysqlite3

from backfeed.app.scene import load_scene
from backfeed.core.instant import local_midnight_ms

QUARTER_MS = 900_000
MICRO = 1_000_000
NUMBERS = ("owner_share", "site_share", "per_kwh", "per_plugged_h", "per_event", "points_per_kwh")
REFUSED_CODES = frozenset({"quarantine", "month_close", "month_reopen", "bank_payment"})
SPREAD = {"id": "share-of-spread", "owner_share": "0.7", "site_share": "0.1"}
KEPT_FROM_MS, KEPT_UNTIL_MS = -QUARTER_MS, 4 * QUARTER_MS
RIGHT_WITHIN = Fraction(5, 100)
LEAST_SOC = Fraction(2, 100)
SEEN_AFTER_MS = 60_000
PROGRAMMES = Path(__file__).parents[2] / "src" / "backfeed" / "market" / "data" / "programmes"


def rounded(amount):
    """Return a fraction rounded to a whole number, half to even."""
    whole, rest = divmod(amount, 1)
    return int(whole + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)))


def fraction(value):
    """Return a number of a TOML file as it is written."""
    return Fraction(str(value))


def divided(total, weights):
    """Divide a whole amount by weights; what is left goes to the largest remainders, the earlier first."""
    shares = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [share.numerator // share.denominator for share in shares]
    by_rest = sorted(range(len(weights)), key=lambda i: (parts[i] - shares[i], i))
    for i in by_rest[: total - sum(parts)]:
        parts[i] += 1
    return parts


class Pilot:
    """What the pilot file says about money, read from the file itself."""

    def __init__(self, path):
        self.scene = load_scene(path)
        text = tomllib.loads(path.read_text(encoding="utf-8"))
        told = text.get("offers", {})
        self.guarantee = told.get("guarantee", True)
        self.offers = {"share-of-spread": SPREAD}
        if "file" in told:
            file = tomllib.loads((path.parent / told["file"]).read_text(encoding="utf-8"), parse_float=str)
            self.offers |= {offer["id"]: offer for offer in file["offers"]}
        self.default = told.get("default", "share-of-spread")
        self.contracts = text.get("contracts", [])
        self.holders = {o: c["holder"] for c in self.contracts if c.get("holder") for o in c["owners"]}
        self.zone = self.scene.enrolment.zone
        self.prices = self.scene.prices
        self.currency = self.prices.currency
        self.caps = {s.name: s.cap_per_year for s in self.prices.subsidies}

    def day_ms(self, day):
        return local_midnight_ms(day, self.zone)

    def step(self, at_ms):
        return (at_ms - self.prices.axis.start_ms) // QUARTER_MS

    def offer(self, owner, site, day):
        """Return the offer of an owner at a site: the last yes of its own, then the site's, then the default."""
        for name, key in ((owner, "owners"), (site, "sites")):
            said = []
            for contract in self.contracts:
                who = [contract["holder"]] if contract.get("holder") else contract.get(key, [])
                if name in who and contract["since"] <= day and (key == "owners" or not contract.get("holder")):
                    said.append(contract)
            if said:
                last = max(said, key=lambda contract: contract["since"])["offer"]
                offer = self.offers.get(last)
                if offer and offer.get("valid_from", day) <= day <= offer.get("valid_until", day):
                    return offer
        return self.offers[self.default]


class Witness:
    """What the log says of charging, from which follows what a car had come with: registers, stops and orders."""

    def __init__(self):
        self.first, self.newest, self.state, self.orders, self.stops = {}, {}, {}, {}, {}
        self.messages, self.tells = set(), set()

    def order(self, event):
        self.orders[event["station"], event["evse"]] = event["mode"] == "charging_only", fraction(event["power_kw"])

    def transaction(self, event):
        """Take one message of a transaction; of two alike, one."""
        key, place = (event["station"], event["transaction"]), (event["station"], event["evse"])
        if (key, event["sequence"]) in self.messages:
            return
        self.messages.add((key, event["sequence"]))
        for reading in event.get("readings", ()):
            if "soc" in reading:
                self.tells.add(key)
            if "import_wh" in reading:
                shown = reading["import_wh"], reading.get("export_wh", 0)
                known = self.first.get(key, shown)
                self.first[key] = min(shown[0], known[0]), min(shown[1], known[1])
                if reading["measured_ms"] >= self.newest.get(key, (0,))[0]:
                    self.newest[key] = reading["measured_ms"], *shown
        if event["phase"] == "ended":
            self.orders.pop(place, None)
            return
        before, now = self.state.get(key), event.get("charging_state") or self.state.get(key)
        self.state[key] = now
        merely_charges, power_kw = self.orders.get(place, (True, None))
        if now == "SuspendedEV" != before and merely_charges and power_kw != 0 and key not in self.tells:
            self.stops.setdefault(key, self.stopped(key, event, power_kw))

    def stopped(self, key, event, power_kw):
        """Return when a car stopped, what it had taken and given, and the most that it took since the last reading."""
        metered_ms, taken, given = self.newest.get(key, (event["measured_ms"], 0, 0))
        first = self.first.get(key, (0, 0))
        unread = None
        if power_kw is not None:
            unread = int(power_kw * max(event["measured_ms"] - metered_ms, 0) / 3600)
        return event["measured_ms"], taken - first[0], given - first[1], unread, event["at_ms"]


class EventLog:
    """What the event log says: when connectors were occupied, which transaction was whose, what was promised."""

    def __init__(self, path):
        self.status, self.spans, self.tokens, self.awards, self.invitations = defaultdict(dict), {}, {}, {}, {}
        self.offered, self.said, self.left, self.shown, self.witness = {}, {}, {}, {}, Witness()
        database = pysqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        for (body,) in database.execute("SELECT body FROM event ORDER BY seq"):
            self.take(json.loads(body))
        database.close()

    def take(self, event):
        if event["kind"] == "evse_status":
            occupied = event["status"] not in ("Available", "Reserved", "Unavailable")
            self.status[event["station"], event["evse"]][event["measured_ms"]] = occupied
        elif event["kind"] == "transaction":
            key = event["station"], event["transaction"]
            at = event["measured_ms"]
            first, last, over = self.spans.get(key, (at, at, False))
            self.spans[key] = min(first, at), max(last, at), over or event["phase"] == "ended"
            if event.get("token"):
                self.tokens[key] = event["token"]
            if event["phase"] == "ended":
                self.left.setdefault(key, (min(at, event["at_ms"]), event["at_ms"]))
            self.witness.transaction(event)
        elif event["kind"] == "invitation":
            self.invitations[event["invitation"]] = event
        elif event["kind"] == "award":
            self.awards[event["invitation"]] = event
        elif event["kind"] == "setpoint_ordered":
            self.witness.order(event)
        else:
            self.hear(event)

    def hear(self, event):
        """Take a question to a driver, an answer, of which the first counts, or what a car has shown of it."""
        key = event.get("station"), event.get("transaction")
        if event["kind"] == "driver_prompted":
            asks = event.get("asks", ["departure"])
            self.offered |= {(*key, "departure"): event["bonus_micro"]} if "departure" in asks else {}
            charge = {(*key, "charge"): (event.get("charge_bonus_micro", 0), event["at_ms"])}
            self.offered |= charge if "charge" in asks else {}
        elif event["kind"] == "departure_answered":
            self.said.setdefault((*key, "departure"), event["departure_ms"])
        elif event["kind"] == "charge_answered":
            self.said.setdefault((*key, "charge"), fraction(event["soc"]))
        elif event["kind"] == "charge_shown":
            self.shown[key] = event

    def stay(self, station, evse, transaction):
        """Return from when until when the car of a transaction was plugged in."""
        first, last, over = self.spans[station, transaction]
        last = last if over else 2**62
        spells, since = [], None
        for at, occupied in sorted(self.status[station, evse].items()):
            if occupied and since is None:
                since = at
            elif not occupied and since is not None:
                spells.append((since, at))
                since = None
        if since is not None:
            spells.append((since, 2**62))
        mine = [(begin, end) for begin, end in spells if begin <= last and end >= first]
        return mine[0][0], mine[-1][1]


class Books:
    """Lines of statements as they ought to be: account, day, code -> amount."""

    def __init__(self):
        self.lines = defaultdict(int)

    def move(self, day, code, giver, taker, amount):
        self.lines[giver, day.isoformat(), code] -= amount
        self.lines[taker, day.isoformat(), code] += amount


class Settled:
    """Settles the days of a run again, from the first to the last."""

    def __init__(self, pilot, log, folder, worn):
        self.pilot, self.log, self.folder, self.worn = pilot, log, folder, worn
        self.books, self.lots, self.subsidised = Books(), defaultdict(list), defaultdict(int)
        self.rows, self.verdicts, self.untrue = {}, {}, []
        for file in sorted((folder / "days").glob("*.parquet")):
            self.rows[date.fromisoformat(file.stem)] = pl.read_parquet(file).to_dicts()

    def cash(self, role, holder):
        return f"{role}:{holder}:{self.pilot.currency}"

    def run(self):
        for day, rows in self.rows.items():
            self.settle(day, rows)
            self.reward(day)
        months = defaultdict(list)
        for day in self.rows:
            months[day.year, day.month].append(day)
        if self.pilot.guarantee:
            for days in months.values():
                self.keep_whole(days)
        return self.books.lines

    def settle(self, day, rows):
        energy = self.energy(rows)
        events = self.events(day)
        owners = sorted(energy)
        dr, joined = self.shared_events(owners, rows, events)
        granted = self.granted(day, owners, energy)
        totals = defaultdict(int)
        for row, (owner, site) in enumerate(owners):
            amounts = {name: rounded(value * 1000) for name, value in energy[owner, site]["worth"].items()}
            self.pay(day, (owner, site), energy[owner, site], amounts, granted[row], (dr[row], joined[row]), rows)
            for name, amount in amounts.items():
                totals[name] += amount
        self.round_off(day, energy, totals)
        clearing, own = self.cash("clearing", "backfeed"), self.cash("aggregator", "backfeed")
        unshared = sum(max(e["revenue"] - e["penalty"], 0) for e in events) - sum(dr)
        self.books.move(day, "aggregator_share", clearing, own, unshared)
        self.redeem_and_expire(day, {owner for owner, _ in owners})

    def reward(self, day):
        """Pay those who were asked, answered, and were right, with the day on which that became known."""
        begin, end = self.pilot.day_ms(day), self.pilot.day_ms(day + timedelta(days=1))
        for station, transaction, what in self.log.offered.keys() & self.log.said.keys():
            key = station, transaction
            left, known = self.log.left.get(key, (0, -1))
            if not begin <= known < end:
                continue
            said, offered = self.log.said[*key, what], self.log.offered[*key, what]
            if what == "departure":
                late, verdict = left - said, "departure_kept"
                verdict = "left_early" if late < KEPT_FROM_MS else verdict
                verdict = "left_late" if late > KEPT_UNTIL_MS else verdict
            else:
                (offered, asked_ms), came = offered, self.came(key)
                told = self.log.shown.get(key)
                if came is not None and told is None and known < max(came["seen_ms"], asked_ms) + SEEN_AFTER_MS:
                    came = None  # it left before anybody could note what it had shown
                self.compare_shown(key, day, told, came)
                verdict = "charge_unproven"
                if came is not None:
                    verdict = "charge_right" if abs(said - came["soc"]) <= RIGHT_WITHIN else "charge_wrong"
            suffix = "/charge" if what == "charge" else ""
            self.verdicts[f"{day.isoformat()}/prompt_bonus/{station}/{transaction}{suffix}"] = verdict
            if verdict in ("departure_kept", "charge_right"):
                token, own = self.log.tokens[key], self.cash("aggregator", "backfeed")
                owner = self.cash("owner", self.pilot.holders.get(token, token))
                self.books.move(day, "prompt_bonus", own, owner, offered)

    def came(self, key):
        """Return what a car had come with that has ended at its driver's limit: the limit, less what it had stored."""
        if key not in self.log.witness.stops:
            return None
        owner = self.pilot.scene.enrolment.owner_of(self.log.tokens[key])
        car, told = owner.vehicle, self.log.shown.get(key, {})
        at, taken, given, unread, seen_ms = self.log.witness.stops[key]
        # On its safe default, which is no order, what it took unread lies below what the charger gives.
        unread = told.get("unread_wh", 0) if unread is None else unread
        charge, discharge = fraction(car.charge_efficiency), fraction(car.discharge_efficiency)
        capacity = fraction(car.capacity_kwh) * 1000
        stored = (taken * charge - given / discharge) / capacity
        limit = max(fraction(owner.target_soc), min(LEAST_SOC + stored, Fraction(1)))
        soc = rounded((limit - stored - unread * charge / 2 / capacity) * 10_000)
        told = {"measured_ms": at, "taken_wh": taken, "given_wh": given, "unread_wh": unread}
        return {**told, "limit_soc": Fraction(rounded(limit * 10_000), 10_000), "soc": Fraction(soc, 10_000)} | {
            "seen_ms": seen_ms
        }

    def compare_shown(self, key, day, told, came):
        """Note where what the log says a car has shown is not what follows from its meter."""
        names = ("measured_ms", "taken_wh", "given_wh", "unread_wh", "limit_soc", "soc")
        for name in names if told is not None or came is not None else ():
            booked = None if told is None else fraction(told[name])
            right = None if came is None else came[name]
            if booked != right:
                self.untrue.append(("/".join(key), day.isoformat(), f"charge_shown {name}", booked, right))

    def energy(self, rows):
        """Return what every owner took, gave and shared at every site, and what that is worth."""
        prices = self.pilot.prices
        subsidies = {series.name: series.per_kwh for series in prices.subsidies}
        meters = defaultdict(list)
        for row in rows:
            meters[row["site"], row["start_ms"]].append(row)
        names = ("bill", "shared_bill", "revenue", "shared_revenue", *(f"+{name}" for name in subsidies))
        found = {}
        for row in rows:
            blank = {"import": 0, "export": 0, "sold": 0, "worth": dict.fromkeys(names, Fraction(0))}
            found.setdefault((row["owner"], row["site"]), blank)
        for (site, start_ms), at in meters.items():
            at.sort(key=lambda r: (r["owner"], r["site"], r["station"], r["evse"], r["transaction"]))
            taken, given = (sum(r[f"{way}_wh"] for r in at) for way in ("import", "export"))
            both, step = min(taken, given), self.pilot.step(start_ms)
            buy, sell = Fraction(prices.buy[step]), Fraction(prices.sell[step])
            run_in = run_out = 0
            for r in at:
                mine = found[r["owner"], site]
                inside = (run_in + r["import_wh"]) * both // taken - run_in * both // taken if taken else 0
                outside = (run_out + r["export_wh"]) * both // given - run_out * both // given if given else 0
                run_in, run_out = run_in + r["import_wh"], run_out + r["export_wh"]
                sold = r["export_wh"] - outside
                mine["import"] += r["import_wh"]
                mine["export"] += r["export_wh"]
                mine["sold"] += sold
                worth = mine["worth"]
                worth["bill"] += (r["import_wh"] - inside) * buy
                worth["shared_bill"] += inside * buy
                worth["revenue"] += sold * sell
                worth["shared_revenue"] += outside * buy
                for name, per_kwh in subsidies.items():
                    worth[f"+{name}"] += sold * Fraction(per_kwh[step])
        return found

    def granted(self, day, owners, energy):
        """Return what each subsidy pays every row, within what its cap leaves of the year."""
        paid = [{} for _ in owners]
        for name, cap in self.pilot.caps.items():
            amounts = [rounded(energy[key]["worth"][f"+{name}"] * 1000) for key in owners]
            if cap is not None:
                left = int(Fraction(cap) * MICRO) - self.subsidised[name, day.year]
                amounts = divided(left, amounts) if sum(amounts) > left else amounts
            self.subsidised[name, day.year] += sum(amounts)
            for row, amount in zip(paid, amounts, strict=True):
                row[name] = amount
        return paid

    def events(self, day):
        """Return the events of a day: what was delivered against the baseline, paid by the curve, and the penalty."""
        first, last = self.pilot.day_ms(day), self.pilot.day_ms(day + timedelta(days=1))
        found = []
        for name, award in self.log.awards.items():
            asked = self.log.invitations[name]
            if not first <= asked["start_ms"] < last:
                continue
            sign = 1 if asked["direction"] == "peak_shave" else -1
            steps = range(asked["start_ms"], asked["end_ms"], QUARTER_MS)
            metered = dict.fromkeys(steps, 0)
            for rows in self.rows.values():
                for row in rows:
                    if row["start_ms"] in metered:
                        metered[row["start_ms"]] += row["import_wh"] - row["export_wh"]
            base = [rounded(fraction(kw) * 250) for kw in award["baseline_kw"]]
            moved = sum(sign * (b - metered[at]) for b, at in zip(base, steps, strict=True))
            hours = Fraction(asked["end_ms"] - asked["start_ms"], 3_600_000)
            promised = rounded(Fraction(award["power_kw"]) * hours * 1000)
            price = next(fraction(i.price_per_kwh) for i in self.pilot.scene.invitations if i.id == name)
            found.append(
                {"name": name, "asked": asked, "price": price, "promised": promised, **paid(promised, moved, price)}
            )
        return found

    def shared_events(self, owners, rows, events):
        """Return what every row earns of the events, and in how many it took part."""
        dr, joined = [0] * len(owners), [0] * len(owners)
        clearing, payer = self.cash("clearing", "backfeed"), self.cash("grid", "demand-response")
        takes_part, tokens = self.pilot.scene.calling.takes_part, self.log.tokens
        outside = {where for where, token in tokens.items() if not takes_part(token)}
        for event in events:
            asked = event["asked"]
            way = "export_wh" if asked["direction"] == "peak_shave" else "import_wh"
            weights = [0] * len(owners)
            for row in rows:
                if (row["station"], row["transaction"]) in outside:
                    continue
                if asked["start_ms"] <= row["start_ms"] < asked["end_ms"]:
                    where = (row["owner"], row["site"])
                    # Where somebody takes no part, what an owner moved counts at the first of the owner's sites.
                    place = [owner for owner, _ in owners].index(row["owner"]) if outside else owners.index(where)
                    weights[place] += row[way]
            earned = max(event["revenue"] - event["penalty"], 0)
            if sum(weights):
                dr = [a + b for a, b in zip(dr, divided(earned, weights), strict=True)]
                joined = [n + (weight > 0) for n, weight in zip(joined, weights, strict=True)]
            day = next(
                d
                for d in self.rows
                if self.pilot.day_ms(d) <= asked["start_ms"] < self.pilot.day_ms(d + timedelta(days=1))
            )
            self.books.move(day, "dr_revenue", payer, clearing, event["revenue"])
            from_revenue = min(event["penalty"], event["revenue"])
            self.books.move(day, "dr_penalty", clearing, payer, from_revenue)
            own = self.cash("aggregator", "backfeed")
            self.books.move(day, "dr_penalty", own, payer, event["penalty"] - from_revenue)
        return dr, joined

    def pay(self, day, where, energy, amounts, granted, dr, rows):
        """Write down one owner's day at one site."""
        (owner, site), (earned, joined) = where, dr
        offer, move, cash = self.pilot.offer(owner, site, day), self.books.move, self.cash
        clearing, own, purse = cash("clearing", "backfeed"), cash("aggregator", "backfeed"), cash("owner", owner)
        number = {key: fraction(offer.get(key, 0)) for key in NUMBERS}
        wear = self.worn.get((day.isoformat(), f"{owner}@{site}"), 0)
        move(day, "wear", f"owner:{owner}:{self.pilot.currency}-wear", f"wear:battery:{self.pilot.currency}-wear", wear)
        move(day, "energy_charged", "grid:grid:Wh", f"owner:{owner}:Wh", energy["import"])
        move(day, "energy_discharged", f"owner:{owner}:Wh", "grid:grid:Wh", energy["export"])
        move(day, "charging_bill", purse, cash("retailer", "retailer"), amounts["bill"])
        move(day, "shared_energy", purse, clearing, amounts["shared_bill"])
        move(day, "discharge_revenue", cash("grid", "grid"), clearing, amounts["revenue"])
        for name, amount in granted.items():
            move(day, "subsidy", cash("subsidy", name), clearing, amount)
        first, last = self.pilot.day_ms(day), self.pilot.day_ms(day + timedelta(days=1))
        cheapest = max(
            min(Fraction(p) for p in self.pilot.prices.buy[self.pilot.step(first) : self.pilot.step(last)]), 0
        )
        cost = rounded(cheapest * energy["export"] * 1000) if offer.get("share_of", "spread") == "spread" else 0
        fixed = number["per_kwh"] * energy["sold"] * 1000 + number["per_event"] * joined * MICRO
        if number["per_plugged_h"]:
            fixed += number["per_plugged_h"] * self.plugged_h(where, rows, first, last) * MICRO
        floor = max(wear + cost, rounded(fixed))
        revenue = amounts["revenue"] + amounts["shared_revenue"] + sum(granted.values()) + earned
        above = max(revenue - floor, 0)
        share, at_site = rounded(number["owner_share"] * above), rounded(number["site_share"] * above)
        at_site = min(at_site, above - share)
        move(day, "top_up", own, clearing, max(floor - revenue, 0))
        move(day, "site_share", clearing, cash("site", site), at_site)
        move(day, "aggregator_share", clearing, own, above - share - at_site)
        self.pay_out(day, owner, offer, floor + share, min(wear, floor + share))
        points = rounded(number["points_per_kwh"] * energy["sold"] * 1000)
        if points:
            self.issue(day, owner, offer, "points", points)

    def plugged_h(self, where, rows, first, last):
        keys = sorted({(r["station"], r["evse"], r["transaction"]) for r in rows if (r["owner"], r["site"]) == where})
        spans = [self.log.stay(*key) for key in keys]
        return Fraction(sum(max(min(end, last) - max(begin, first), 0) for begin, end in spans), 3_600_000)

    def pay_out(self, day, owner, offer, amount, wear):
        """Pay an owner: the wear in cash, the rest as the offer says."""
        cash, clearing = self.cash("owner", owner), self.cash("clearing", "backfeed")
        said = offer.get("paid_in", {"cash": 1})
        paid_in = {name: fraction(said[name]) for name in ("cash", "coupon", "credit", "points") if name in said}
        if paid_in == {"cash": 1}:
            self.books.move(day, "payout", clearing, cash, amount)
            return
        parts = divided(amount - wear, [int(share * MICRO) for share in paid_in.values()])
        in_cash = wear
        for name, part in zip(paid_in, parts, strict=True):
            if name == "cash":
                in_cash += part
                continue
            self.books.move(day, "payout_backing", clearing, self.cash("aggregator", "backfeed/reserve"), part)
            self.issue(day, owner, offer, name, part)
        self.books.move(day, "payout", clearing, cash, in_cash)

    def issue(self, day, owner, offer, name, amount):
        unit = "points" if name == "points" else f"{self.pilot.currency}-{name}"
        self.books.move(day, "payout", f"aggregator:backfeed:{unit}", f"owner:{owner}:{unit}", amount)
        if amount:
            self.lots[owner, unit].append([day + timedelta(days=int(offer.get("expires_after_days", 365))), amount])

    def redeem_and_expire(self, day, owners):
        """Pay bills from charging credit, then let what is good no longer lapse."""
        currency, reserve = self.pilot.currency, self.cash("aggregator", "backfeed/reserve")
        for owner in sorted(owners):
            unit, lines = f"{currency}-credit", self.books.lines
            bill = -sum(
                lines[self.cash("owner", owner), day.isoformat(), code] for code in ("charging_bill", "shared_energy")
            )
            left = used = max(min(bill, sum(lot[1] for lot in self.lots[owner, unit])), 0)
            for lot in self.lots[owner, unit]:
                part = min(lot[1], left)
                lot[1], left = lot[1] - part, left - part
            self.books.move(day, "redemption", f"owner:{owner}:{unit}", f"aggregator:backfeed:{unit}", used)
            self.books.move(day, "redemption", reserve, self.cash("owner", owner), used)
        for (owner, unit), lots in self.lots.items():
            for lot in lots:
                if lot[0] <= day and lot[1]:
                    self.books.move(day, "expiry", f"owner:{owner}:{unit}", f"aggregator:backfeed:{unit}", lot[1])
                    if unit != "points":
                        self.books.move(day, "expiry", reserve, self.cash("aggregator", "backfeed"), lot[1])
                    lot[1] = 0

    def round_off(self, day, energy, totals):
        rounding = self.cash("rounding", "backfeed")
        bill, revenue = (rounded(sum(e["worth"][n] for e in energy.values()) * 1000) for n in ("bill", "revenue"))
        self.books.move(day, "rounding", rounding, self.cash("retailer", "retailer"), bill - totals["bill"])
        self.books.move(day, "rounding", self.cash("grid", "grid"), rounding, revenue - totals["revenue"])
        shared = totals["shared_revenue"] - totals["shared_bill"]
        self.books.move(day, "rounding", rounding, self.cash("clearing", "backfeed"), shared)

    def keep_whole(self, days):
        """Make up what owners lost against charging at once over a month."""
        bills = self.unmanaged(days)
        texts = {day.isoformat() for day in days}
        for owner, unmanaged in bills.items():
            billed = paid_out = wear = 0
            for (account, day, code), amount in self.books.lines.items():
                role, _, rest = account.partition(":")
                holder, _, unit = rest.rpartition(":")
                if role != "owner" or holder != owner or day not in texts or unit in ("Wh", "points"):
                    continue
                if unit.endswith("-wear"):
                    wear -= amount
                elif code in ("charging_bill", "shared_energy"):
                    billed -= amount
                elif code == "payout":
                    paid_out += amount
            lost = billed - paid_out + wear - unmanaged
            if lost > 0:
                self.books.move(
                    days[-1], "guarantee", self.cash("aggregator", "backfeed"), self.cash("owner", owner), lost
                )

    def unmanaged(self, days):
        """Return what charging at once from plugging in would have cost every owner."""
        stays, enrolment = defaultdict(list), self.pilot.scene.enrolment
        for day in days:
            for row in self.rows[day]:
                stays[row["owner"], row["station"], row["evse"], row["transaction"]].append(row)
        bills = defaultdict(Fraction)
        for (owner, station, evse, transaction), rows in stays.items():
            car = enrolment.owner_of(self.log.tokens[station, transaction]).vehicle
            power = min(fraction(enrolment.charger_power_kw), fraction(car.charge_max_kw))
            begin, _ = self.log.stay(station, evse, transaction)
            kept = fraction(car.charge_efficiency) * fraction(car.discharge_efficiency)
            left = sum(r["import_wh"] for r in rows) - rounded(sum(r["export_wh"] for r in rows) / kept)
            rows.sort(key=lambda r: r["start_ms"])
            for row in rows:
                price = Fraction(self.pilot.prices.buy[self.pilot.step(row["start_ms"])])
                room = int(power * min(QUARTER_MS, row["start_ms"] + QUARTER_MS - begin) / 3600)
                flows = left if row is rows[-1] else max(min(left, room), 0)
                bills[owner] += price * flows * 1000
                left -= flows
        return {owner: rounded(bill) for owner, bill in bills.items()}


def paid(promised, moved, price):
    """Return what a delivery earns by the pilot programme's curve, and its penalty, in millionths."""
    rules = tomllib.loads((PROGRAMMES / "pilot.toml").read_text(encoding="utf-8"), parse_float=str)
    points = [(fraction(p["ratio"]) * promised, fraction(p["paid"]) * promised) for p in rules["payment_curve"]]
    energy = Fraction(0) if max(moved, 0) < points[0][0] else points[-1][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= max(moved, 0) < x1:
            energy = y0 + (max(moved, 0) - x0) * (y1 - y0) / (x1 - x0)
    below, factor = (fraction(rules["penalty"][key]) for key in ("below_ratio", "factor"))
    short = max(below * promised - max(moved, 0), 0) * factor
    return {"revenue": rounded(energy * price * 1000), "penalty": rounded(short * price * 1000)}


def read_ledger(path):
    """Return the ledger's lines, the wear of every owner at every site and day, and what it says of every answer."""
    database = pysqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    lines, worn, verdicts = defaultdict(int), {}, {}
    asked = "SELECT id, debit, credit, amount, code, phase, evidence FROM transfers ORDER BY seq"
    for identity, debit, credit, amount, code, phase, evidence in database.execute(asked):
        if code in REFUSED_CODES or "|" in identity:
            sys.exit(f"{identity}: a decision, not arithmetic; recompute a run without it")
        if phase in ("single", "post"):
            day = identity[: len("2026-07-06")]
            lines[debit, day, code] -= amount
            lines[credit, day, code] += amount
            if code == "wear":
                worn[day, identity.split("/", 2)[2]] = amount
            elif code == "prompt_bonus":
                verdicts[identity] = evidence.partition("(")[0]
    database.close()
    return lines, worn, verdicts


def compare(pilot_file, folder):
    """Return how many statements and lines agree, and the lines that differ as (account, day, code, booked, right)."""
    booked, worn, verdicts = read_ledger(folder / "ledger.sqlite")
    settled = Settled(Pilot(pilot_file), EventLog(folder / "events.sqlite"), folder, worn)
    right = settled.run()
    keys = {key for lines in (booked, right) for key, amount in lines.items() if amount}
    wrong = sorted((*key, booked[key], right[key]) for key in keys if booked[key] != right[key])
    told = sorted(verdicts.keys() | settled.verdicts.keys())
    judged = [(each, each[:10], "verdict", verdicts.get(each), settled.verdicts.get(each)) for each in told]
    wrong += [*(line for line in judged if line[3] != line[4]), *settled.untrue]
    holders = {account.rpartition(":")[0] for account, _, _ in keys}
    return len(holders), len(keys), wrong


def main():
    """Recompute a run and say what differs."""
    statements, lines, wrong = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    for account, day, code, booked, right in wrong:
        sys.stdout.write(f"{account} {day} {code}: booked {booked}, recomputed {right}\n")
    sys.stdout.write(f"{statements} statements, {lines} lines, {len(wrong)} differ\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
