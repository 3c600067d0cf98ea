"""What should we do: the fleet's schedule as one optimisation problem."""
