"""Who may say what a charger does: seven authorities in order, each narrowing what those below may choose.

1. Hardware: what the station, the cable and the battery can do.
2. Grid operator: a limit that the network has set for now.
3. Site connection: what the fuse and the contract of the place allow, building load included.
4. Owner: the reserve that is never discharged, and the energy needed at departure.
5. Delivery: what has been promised to a market or a programme.
6. Schedule: what the plan wants.
7. Surplus: what the sun would otherwise push out of the site.

The lowest authority that has a wish chooses inside the bounds of all above it. Whoever last moved the
power away from that wish is recorded as `bound_by`, so that 'why is my car not charging?' has an answer.
"""

from enum import IntEnum


class Authority(IntEnum):
    """The order of authority; a smaller number outranks a larger one.

    >>> Authority.SITE_CONNECTION < Authority.OWNER
    True
    >>> Authority.GRID_OPERATOR.word
    'grid_operator'
    """

    HARDWARE = 0
    GRID_OPERATOR = 1
    SITE_CONNECTION = 2
    OWNER = 3
    DELIVERY = 4
    SCHEDULE = 5
    SURPLUS = 6

    @property
    def word(self) -> str:
        """The name that events and reports carry."""
        return self.name.lower()
