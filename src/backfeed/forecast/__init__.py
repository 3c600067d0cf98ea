"""What will come: arrivals, departures, energy needs."""
