"""The sums that a piece of a SoC path is measured by, as columns of one matrix."""

HOURS, STRESS_HOURS, DEGREE_HOURS, LOWEST, HIGHEST, THROUGHPUT, MOTION, MOTION_HOURS, WIDER_STRESS_HOURS = range(9)
"""Hours [h], storage stress times hours, table row times hours, lowest and highest SoC, sum of changes of SoC,
and of those in motion, hours in motion [h], storage stress of the stretched path times hours."""
COLUMNS = 9
REST_C_RATE = 1e-2
"""Rates below this are rest, not motion, when the mean C-rate is taken [1/h]; BLAST-Lite's threshold."""
