"""The versions and times that client and worker agree on.

Orders are independent of how arrays are transferred. Each order names arrays with shape and type;
between two processes of one computer the messages "blocks", "open" and "drop" transfer their bytes
in shared memory; between two computers "arrays", "go" and "bytes" carry them, see `remote.py`.
"""

PROTOCOL = 2
IDLE_SECONDS = 600.0
HEARTBEAT_SECONDS = 1.0
WIRE = 1
"""Of the connection to a server: frames, compression and the hello."""
