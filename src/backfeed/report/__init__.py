"""How did it go: key figures and the pages people read."""
