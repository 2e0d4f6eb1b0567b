"""The link: many calls in each message of one stream, under the same stubs and handlers.

A call by itself costs a Python process some hundred microseconds at each end, nearly all of it
gRPC's; a message of a stream costs a quarter, and holds whatever waited for it. docs/link.md tells
how it works, and adr/0009 why it is there.
"""
