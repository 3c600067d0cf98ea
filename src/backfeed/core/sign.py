"""Signs: inside, charging is positive. Every neighbour that counts otherwise is crossed here.

====================================  ==========================================  ===================
neighbour                             how it counts                               source
====================================  ==========================================  ===================
OCPP 2.1 `setpoint`                   + charges, - discharges                     Part 2, K / Q
OCPP 2.1 `limit`, `dischargeLimit`    `limit` >= 0, `dischargeLimit` <= 0         Part 2, Q
OCPP 2.1 `v2xChargingParameters`      magnitudes both ways                        ISO 15118-20
measurands Import / Export            two unsigned registers                      Part 2, measurands
markets, IEC 61850                    injection into the grid is positive         IEC 61850-7-420
====================================  ==========================================  ===================

Powers outside are watts, inside kilowatts. Flexibility is never signed: `up_kw` (towards injection)
and `down_kw` are both magnitudes.
"""

W_PER_KW = 1_000


def setpoint_to_ocpp_w(power_kw: float) -> float:
    """Return the OCPP `setpoint` [W] for a power at the EVSE, charging positive in both."""
    return power_kw * W_PER_KW


def setpoint_from_ocpp_kw(setpoint_w: float) -> float:
    """Return the power at the EVSE [kW, charging positive] for an OCPP `setpoint`."""
    return setpoint_w / W_PER_KW


def limits_to_ocpp_w(charge_max_kw: float, discharge_max_kw: float) -> tuple[float, float]:
    """Return OCPP `(limit, dischargeLimit)` [W] for two magnitudes.

    >>> limits_to_ocpp_w(7.0, 5.0)
    (7000.0, -5000.0)
    """
    assert charge_max_kw >= 0, charge_max_kw
    assert discharge_max_kw >= 0, discharge_max_kw
    return charge_max_kw * W_PER_KW, -discharge_max_kw * W_PER_KW + 0.0


def limits_from_ocpp_kw(limit_w: float, discharge_limit_w: float) -> tuple[float, float]:
    """Return the magnitudes `(charge_max_kw, discharge_max_kw)` of two OCPP limits.

    Raises
    ------
    ValueError
        If a limit has the sign that OCPP forbids.
    """
    if limit_w < 0 or discharge_limit_w > 0:
        message = f"OCPP needs limit >= 0 and dischargeLimit <= 0, found {limit_w} and {discharge_limit_w}"
        raise ValueError(message)
    return limit_w / W_PER_KW, -discharge_limit_w / W_PER_KW + 0.0


def power_from_import_export_kw(import_w: float, export_w: float) -> float:
    """Return the power [kW, charging positive] for OCPP's two unsigned measurands [W]."""
    return (import_w - export_w) / W_PER_KW


def power_to_import_export_w(power_kw: float) -> tuple[float, float]:
    """Return OCPP's two unsigned measurands `(import, export)` [W] for a signed power.

    >>> power_to_import_export_w(-3.5)
    (0.0, 3500.0)
    """
    return max(power_kw, 0.0) * W_PER_KW, max(-power_kw, 0.0) * W_PER_KW


def injection_kw(power_kw: float) -> float:
    """Return a power as markets and IEC 61850 count it: injection into the grid is positive."""
    return -power_kw + 0.0


def power_from_injection_kw(injected_kw: float) -> float:
    """Return a power [kW, charging positive] for an injection as markets count it."""
    return -injected_kw + 0.0
