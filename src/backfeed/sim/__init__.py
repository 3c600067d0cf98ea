"""The simulated world: drivers, cars and charging stations that speak OCPP; it knows nothing of the platform."""
