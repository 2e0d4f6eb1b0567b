"""The floor: bare chains of the suite's shape, for what no product can go below.

client → gateway → orchestrator → executor → state → Valkey, five processes and the store: no
messages, no interceptors, no logic. One chain makes a unary call for each hop, the other puts all
calls that wait into one message of a stream that stays open.
"""
