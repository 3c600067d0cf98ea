"""Composition: the one place that knows the concrete classes."""
