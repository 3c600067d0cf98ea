"""Protocols as machines without I/O, and the links they speak over."""
