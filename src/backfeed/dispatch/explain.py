"""Why a car charges as it does, in words for the person who plugged it in."""

from backfeed.dispatch.authority import Authority

LANGUAGES = ("en", "zh")

WORDS: dict[Authority, dict[str, str]] = {
    Authority.HARDWARE: {
        "en": "The charger or the car can do no more, or the battery is full.",
        "zh": "充电桩或车辆已达能力上限，或电池已充满。",
    },
    Authority.GRID_OPERATOR: {
        "en": "The grid operator has set a limit for this place.",
        "zh": "电网运营方已对该站点限定功率。",
    },
    Authority.SITE_CONNECTION: {
        "en": "The building's connection is at its limit; cars with the most time to spare wait.",
        "zh": "站点接入容量已达上限，时间最充裕的车辆先让出功率。",
    },
    Authority.OWNER: {
        "en": "Your reserve or your departure comes first.",
        "zh": "优先保证您的保底电量和出发时间。",
    },
    Authority.DELIVERY: {
        "en": "The fleet keeps a promise to the grid; you are paid for your part.",
        "zh": "车队正在履行对电网的承诺，您将获得相应收益。",
    },
    Authority.SCHEDULE: {
        "en": "This is the plan: the cheapest way to what you asked for.",
        "zh": "按计划执行：以最低成本满足您的需求。",
    },
    Authority.SURPLUS: {
        "en": "No plan has seen your car yet; it takes only solar power left over.",
        "zh": "尚未为您的车辆制定计划，目前仅使用富余的光伏电力。",
    },
}
"""A sentence per authority and language."""


def explain(bound_by: str, language: str = "en") -> str:
    """Return the sentence for the authority that an order carries.

    Parameters
    ----------
    bound_by
        An `Authority.word`.
    language
        One of `LANGUAGES`.

    >>> explain("owner")
    'Your reserve or your departure comes first.'
    """
    return WORDS[Authority[bound_by.upper()]][language]
