"""The simulated city: drivers, cars and real OCPP clients. It does not know the platform."""
