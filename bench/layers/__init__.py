"""Where the processor time of a run goes: by service, and in each by layer."""
