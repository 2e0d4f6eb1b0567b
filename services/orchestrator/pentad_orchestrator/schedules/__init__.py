"""Schedules: runs that start at certain times.

`timing` knows times, `plan` decides what becomes of each, `record` says what is stored, `store`
stores it, `firing` carries it out, and `core` is what callers may ask.
"""
