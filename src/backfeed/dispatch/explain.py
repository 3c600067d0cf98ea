"""Why a car charges as it does, in words for the person who plugged it in."""

from backfeed.dispatch.authority import Authority

LANGUAGES = ("en", "zh")

UNCONFIRMED = "unconfirmed"
"""What an order carries that repeats the safe default to a station which did not confirm its last one."""

COLD, WARRANTY = "cold", "warranty"
"""Why a car discharges nothing, whatever the plan says: cold cells, or a used-up warranty budget."""

WORDS: dict[str, dict[str, str]] = {
    Authority.HARDWARE.word: {
        "en": "The charger or the car can do no more, or the battery is full.",
        "zh": "充电桩或车辆已达能力上限，或电池已充满。",
    },
    Authority.GRID_OPERATOR.word: {
        "en": "The grid operator has set a limit for this place.",
        "zh": "电网运营方已对该站点限定功率。",
    },
    Authority.SITE_CONNECTION.word: {
        "en": "The building's connection is at its limit; cars with the most time to spare wait.",
        "zh": "站点接入容量已达上限，时间最充裕的车辆先让出功率。",
    },
    Authority.OWNER.word: {
        "en": "Your reserve or your departure comes first.",
        "zh": "优先保证您的保底电量和出发时间。",
    },
    Authority.DELIVERY.word: {
        "en": "The fleet keeps a promise to the grid; you are paid for your part.",
        "zh": "车队正在履行对电网的承诺，您将获得相应收益。",
    },
    Authority.SCHEDULE.word: {
        "en": "This is the plan: the cheapest way to what you asked for.",
        "zh": "按计划执行：以最低成本满足您的需求。",
    },
    Authority.SURPLUS.word: {
        "en": "No plan has seen your car yet; it takes only solar power left over.",
        "zh": "尚未为您的车辆制定计划，目前仅使用富余的光伏电力。",
    },
    COLD: {
        "en": "Your battery is colder than 5 degrees; nothing is discharged until it is warmer.",
        "zh": "您的电池低于5摄氏度，升温之前不会放电。",
    },
    WARRANTY: {
        "en": "What your car's warranty allows to discharge is used up; from now on your car only charges.",
        "zh": "车辆质保允许的放电量已用完，今后仅充电。",
    },
    UNCONFIRMED: {
        "en": "The charger did not confirm its last order and is asked to do what it does on its own.",
        "zh": "充电桩未确认上一条指令，正按其安全默认方式运行。",
    },
}
"""A sentence per reason and language."""


def explain(bound_by: str, language: str = "en") -> str:
    """Return the sentence for the reason that an order carries.

    Parameters
    ----------
    bound_by
        An `Authority.word`, `UNCONFIRMED`, `COLD` or `WARRANTY`.
    language
        One of `LANGUAGES`.

    >>> explain("owner")
    'Your reserve or your departure comes first.'
    """
    return WORDS[bound_by][language]
