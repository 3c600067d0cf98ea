"""Words that all rooms share: instants, axes, signs, money, clocks, dice, ids, problems."""
