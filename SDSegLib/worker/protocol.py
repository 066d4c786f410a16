"""The versions and times that client and worker agree on.

Orders are independent of how arrays are transferred. Each order names arrays with shape and type;
between two processes of one computer the messages "blocks", "open" and "drop" transfer their bytes
in shared memory. Without shared memory, other messages would do it.
"""

PROTOCOL = 2
IDLE_SECONDS = 600.0
HEARTBEAT_SECONDS = 1.0
