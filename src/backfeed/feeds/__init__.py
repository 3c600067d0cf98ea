"""Files from outside: sessions, series."""
