"""What do we do now: setpoints inside every limit, with the reason."""
