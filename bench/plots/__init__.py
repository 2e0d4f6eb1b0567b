"""Figures for the documentation, drawn by matplotlib in an environment of its own."""
