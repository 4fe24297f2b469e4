"""Analyses of what decoders read from the brain."""
