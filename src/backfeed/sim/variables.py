"""The device model of a station, as far as a platform needs it: Get and SetVariables.

A handful of the standard's controller variables (OCPP 2.1 Part 2, appendix), read-only but for the
heartbeat.
"""

from msgspec import UNSET

from backfeed.sim.outbox import MESSAGE_ATTEMPT_INTERVAL_S, MESSAGE_ATTEMPTS
from backfeed.sim.profile import PERIODS_MAX, STACK_LEVEL_MAX, OperationMode
from backfeed.wire import ocpp21
from backfeed.wire.ocpp21.enumerations import GetVariableStatusEnum, SetVariableStatusEnum

HEARTBEAT = ("OCPPCommCtrlr", "HeartbeatInterval")


class DeviceModel:
    """Variables by `(component, variable)`."""

    def __init__(self, station: str, meter_interval_s: int) -> None:
        """Describe a station."""
        self._components = {
            "AlignedDataCtrlr",
            "OCPPCommCtrlr",
            "SecurityCtrlr",
            "SmartChargingCtrlr",
            "TxCtrlr",
            "V2XChargingCtrlr",
        }
        self._values = {
            ("AlignedDataCtrlr", "Interval"): str(meter_interval_s),
            ("AlignedDataCtrlr", "SendDuringIdle"): "false",
            HEARTBEAT: "0",
            ("OCPPCommCtrlr", "MessageAttemptInterval"): str(MESSAGE_ATTEMPT_INTERVAL_S),
            ("OCPPCommCtrlr", "MessageAttempts"): str(MESSAGE_ATTEMPTS),
            ("SecurityCtrlr", "Identity"): station,
            ("SmartChargingCtrlr", "Available"): "true",
            ("SmartChargingCtrlr", "Enabled"): "true",
            ("SmartChargingCtrlr", "PeriodsPerSchedule"): str(PERIODS_MAX),
            ("SmartChargingCtrlr", "ProfileStackLevel"): str(STACK_LEVEL_MAX),
            ("SmartChargingCtrlr", "RateUnit"): "A,W",
            ("TxCtrlr", "TxStartPoint"): "Authorized",
            ("TxCtrlr", "TxStopPoint"): "EVConnected",
            ("V2XChargingCtrlr", "Enabled"): "true",
            ("V2XChargingCtrlr", "SupportedOperationModes"): ",".join(OperationMode),
        }

    @property
    def heartbeat_interval_s(self) -> int:
        """How long the station may be silent; 0 for as long as it likes."""
        return int(self._values[HEARTBEAT])

    @heartbeat_interval_s.setter
    def heartbeat_interval_s(self, interval_s: int) -> None:
        self._values[HEARTBEAT] = str(max(0, interval_s))

    def get(self, request: ocpp21.GetVariablesRequest) -> ocpp21.GetVariablesResponse:
        """Answer GetVariables (B06)."""
        results = []
        for asked in request.get_variable_data:
            status = self._get_status(asked)
            value = self._values.get((asked.component.name, asked.variable.name), "")
            results.append(
                ocpp21.GetVariableResult(
                    attribute_status=status,
                    attribute_type=asked.attribute_type,
                    attribute_value=value if status == "Accepted" else UNSET,
                    component=asked.component,
                    variable=asked.variable,
                )
            )
        return ocpp21.GetVariablesResponse(get_variable_result=tuple(results))

    def set(self, request: ocpp21.SetVariablesRequest) -> ocpp21.SetVariablesResponse:
        """Answer SetVariables (B05)."""
        results = []
        for wanted in request.set_variable_data:
            status = self._set_status(wanted)
            if status == "Accepted":
                self.heartbeat_interval_s = int(wanted.attribute_value)
            results.append(
                ocpp21.SetVariableResult(
                    attribute_status=status,
                    attribute_type=wanted.attribute_type,
                    component=wanted.component,
                    variable=wanted.variable,
                )
            )
        return ocpp21.SetVariablesResponse(set_variable_result=tuple(results))

    def _get_status(self, asked: ocpp21.GetVariableData) -> GetVariableStatusEnum:
        component = asked.component.name
        if asked.attribute_type not in (UNSET, "Actual"):
            return "NotSupportedAttributeType"
        if (component, asked.variable.name) in self._values:
            return "Accepted"
        return "UnknownVariable" if component in self._components else "UnknownComponent"

    def _set_status(self, wanted: ocpp21.SetVariableData) -> SetVariableStatusEnum:
        key = (wanted.component.name, wanted.variable.name)
        if wanted.attribute_type not in (UNSET, "Actual"):
            return "NotSupportedAttributeType"
        if key in self._values:
            return "Accepted" if key == HEARTBEAT and wanted.attribute_value.isdecimal() else "Rejected"
        return "UnknownVariable" if key[0] in self._components else "UnknownComponent"
