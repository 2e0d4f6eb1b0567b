"""The five services as one suite: in one process, or in five on one machine."""
