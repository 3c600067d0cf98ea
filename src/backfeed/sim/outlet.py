"""The power electronics of one EVSE: what flows into the connected car, and what the meter counts.

An outlet knows nothing of messages. It is told what to follow, and is brought forward in time by
whoever needs to know; between two orders everything is closed form, so nothing ticks. What has
happened is written into the truth, cut at quarter-hours and at every order.

The registers count for the outlet's whole life, as meters do, and are read in whole watt-hours.
"""

import math
from dataclasses import dataclass

from backfeed.core.instant import MS_PER_H
from backfeed.sim.profile import FAR_MS, OperationMode, Setting
from backfeed.sim.truth import QUARTER_MS, TruthRecorder
from backfeed.sim.vehicle import Car, advance, drive_kw, hours_until_still, metered_kwh, power_kw

WH_PER_KWH = 1000
RESTING = Setting(OperationMode.IDLE, 0.0, FAR_MS)


@dataclass(slots=True)
class PluggedCar:
    """A car at an outlet.

    Parameters
    ----------
    session
        Index of the session, for the truth.
    car
        Its physics.
    energy_kwh
        In the battery now.
    required_kwh
        What its driver has set it to: where it ends charging when nobody commands it.
    """

    session: int
    car: Car
    energy_kwh: float
    required_kwh: float

    @property
    def soc(self) -> float:
        """The state of charge, a fraction of the true capacity."""
        return self.energy_kwh / self.car.capacity_kwh


class Outlet:
    """One EVSE's power path and meter."""

    def __init__(self, recorder: TruthRecorder, at_ms: int) -> None:
        """Begin without a car."""
        self._recorder = recorder
        self._at_ms = at_ms
        self._drive_kw = 0.0
        self._limit_kwh = 0.0
        self._import_kwh = 0.0
        self._export_kwh = 0.0
        self.plugged: PluggedCar | None = None

    @property
    def at_ms(self) -> int:
        """Up to when the outlet has been brought forward."""
        return self._at_ms

    @property
    def import_wh(self) -> int:
        """The import register [Wh], rounded down."""
        return math.floor(self._import_kwh * WH_PER_KWH)

    @property
    def export_wh(self) -> int:
        """The export register [Wh], rounded down."""
        return math.floor(self._export_kwh * WH_PER_KWH)

    @property
    def is_offered(self) -> bool:
        """Whether the outlet offers or asks for power at all."""
        return self._drive_kw != 0.0

    @property
    def power_kw(self) -> float:
        """What flows at this moment [kW, charging positive]."""
        if self.plugged is None:
            return 0.0
        return power_kw(self.plugged.car, self.plugged.energy_kwh, self._drive_kw, self._limit_kwh)

    def plug(self, plugged: PluggedCar) -> None:
        """Connect a car; nothing flows until something is to be followed."""
        assert self.plugged is None, "a car is connected already"
        self.plugged = plugged
        self.follow(RESTING)

    def unplug(self) -> PluggedCar:
        """Disconnect the car."""
        assert self.plugged is not None, "no car is connected"
        plugged, self.plugged = self.plugged, None
        self._drive_kw = 0.0
        return plugged

    def follow(self, setting: Setting) -> None:
        """Follow a setting from this moment on.

        Under CentralSetpoint the car is charged up to full; otherwise it ends where its driver has set it to end.
        """
        if self.plugged is None:
            return
        car = self.plugged.car
        commanded = setting.mode is OperationMode.CENTRAL_SETPOINT
        self._limit_kwh = car.energy_full_kwh if commanded else self.plugged.required_kwh
        self._drive_kw = drive_kw(car, setting.power_kw)

    def still_at_ms(self) -> int:
        """Return when what is followed now will have ended by itself: the car full, or empty."""
        if self.plugged is None or self._drive_kw == 0.0:
            return FAR_MS
        hours = hours_until_still(self.plugged.car, self.plugged.energy_kwh, self._drive_kw, self._limit_kwh)
        return FAR_MS if math.isinf(hours) else self._at_ms + math.ceil(hours * MS_PER_H)

    def forward(self, to_ms: int) -> None:
        """Let time pass under what is followed now; going back is no move at all."""
        if self.plugged is None:
            self._at_ms = max(self._at_ms, to_ms)
            return
        while self._at_ms < to_ms:
            until_ms = min(to_ms, (self._at_ms // QUARTER_MS + 1) * QUARTER_MS)
            self._pass(self.plugged, until_ms)

    def _pass(self, plugged: PluggedCar, until_ms: int) -> None:
        car, before_kwh = plugged.car, plugged.energy_kwh
        flows_kw = power_kw(car, before_kwh, self._drive_kw, self._limit_kwh)
        after_kwh = advance(car, before_kwh, self._drive_kw, (until_ms - self._at_ms) / MS_PER_H, self._limit_kwh)
        metered = metered_kwh(car, after_kwh - before_kwh)
        self._recorder.add(plugged.session, self._at_ms, until_ms, metered, after_kwh, flows_kw)
        self._import_kwh += max(metered, 0.0)
        self._export_kwh += max(-metered, 0.0)
        plugged.energy_kwh = after_kwh
        self._at_ms = until_ms
