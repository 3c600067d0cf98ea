"""Where a run left the tested range of the wear laws: what was clamped or extrapolated, for the report to say."""

from dataclasses import replace

import numpy as np

from backfeed.app.judge_account import session_paths
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.limits import OutOfRange, out_of_range
from backfeed.battery.stress import SocPaths, day_stress
from backfeed.battery.temperature import CellTemperature
from backfeed.report.run_report import Words
from backfeed.sim.truth import Truth

_NAMES = {
    "soc": Words("state of charge", "荷电状态"),
    "temperature_c": Words("cell temperature [degrees C]", "电芯温度[摄氏度]"),
    "c_rate": Words("C-rate", "充放电倍率"),
    "depth": Words("depth of the day's swing", "日循环深度"),
}
_TREATMENTS = {"clamped": Words("read at the edge", "按边界值计算"), "extrapolated": Words("extrapolated", "外推")}


def left_range(truth: Truth, temperature: CellTemperature, day_start_ms: int) -> tuple[OutOfRange, ...]:
    """Return what left the tested range in a world, each quantity once, over all cells."""
    paths = session_paths(truth)
    found: dict[str, OutOfRange] = {}
    for chemistry in dict.fromkeys(truth.sessions.chemistry):
        mine = np.array([each == chemistry for each in truth.sessions.chemistry], dtype=np.bool_)
        length = np.diff(paths.offsets)
        samples = np.repeat(mine, length)
        own = SocPaths(paths.at_ms[samples], paths.soc[samples], np.cumsum(np.append(0, length[mine])))
        law = WEAR_LAWS[chemistry]
        day = day_stress(law, own, temperature.along(own.at_ms), day_start_ms=day_start_ms)
        for each in out_of_range(law, own.soc, temperature.over(own.at_ms), day):
            found[each.quantity] = _merged(found[each.quantity], each) if each.quantity in found else each
    return tuple(found.values())


def _merged(one: OutOfRange, other: OutOfRange) -> OutOfRange:
    return replace(
        one,
        lowest=max(one.lowest, other.lowest),
        highest=min(one.highest, other.highest),
        found_lowest=min(one.found_lowest, other.found_lowest),
        found_highest=max(one.found_highest, other.found_highest),
        count=one.count + other.count,
    )


def said_of(left: OutOfRange) -> Words:
    """Return what left its range as a sentence."""
    name, treatment = _NAMES[left.quantity], _TREATMENTS[left.treatment]
    tested, found = f"{left.lowest:g}-{left.highest:g}", f"{left.found_lowest:.3g}-{left.found_highest:.3g}"
    return Words(
        f"Wear outside its experiments: {name.en} {found}, tested {tested}, {treatment.en} ({left.count} values)",
        f"超出老化实验范围：{name.zh}为{found}，实验范围{tested}，{treatment.zh}（{left.count}个值）",
    )
