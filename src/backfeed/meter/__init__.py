"""What happened: readings, integer intervals, baselines."""
