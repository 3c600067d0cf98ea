"""`[[sites]]` of the pilot file: connections to the grid."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from backfeed.app.config_id import id_problems, row_name
from backfeed.core.problem import Problem


class SiteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[sites]]`: a connection point, the locations behind it and its limits."""

    id: str
    stations: tuple[str, ...] = ()
    import_limit_kw: float = math.inf
    export_limit_kw: float = math.inf
    base_load_kw: float | None = None
    base_load_file: str | None = None
    private: bool = True


def site_problems(path: Path, sites: Sequence[SiteTable]) -> list[Problem]:
    """Return what is wrong with sites beyond their types."""
    found = id_problems(path, "sites", "a site id", (site.id for site in sites))
    owner_of: dict[str, str] = {}
    for number, site in enumerate(sites, 1):
        where = row_name(path, "sites", number, site.id)
        found.extend(
            Problem(f"{where} {key}", f"expected 0 or more, found {getattr(site, key)!r}")
            for key in ("import_limit_kw", "export_limit_kw")
            if not getattr(site, key) >= 0
        )
        load = site.base_load_kw
        if load is not None and not math.isfinite(load):
            found.append(Problem(f"{where} base_load_kw", f"expected a number of kW, found {load!r}"))
        if load is not None and site.base_load_file is not None:
            found.append(Problem(where, "expected base_load_kw or base_load_file, found both"))
        for location in site.stations:
            if location in owner_of:
                found.append(Problem(where, f"location {location} already belongs to site {owner_of[location]}"))
            owner_of[location] = site.id
    return found
