"""What a server allows each request, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a server.

    Attributes:
        image_bytes: Most bytes of one image as it comes.
        memory_bytes: Most bytes of images and results that the server itself holds, of all clients
            together. The computing processes hold up to two images each in addition.
        process_bytes: Most memory of a computing process; None for no limit.
        run_seconds: Longest time that a run may compute.
        connections: Most connections at a time; one client (address and token) may have half.
        idle_seconds: Time without a request after which a connection is closed.
        memory_seconds: Time for which an image waits until there is memory for it.
        login_seconds: Time for the handshake and the token.
    """

    image_bytes: int = 2048 * MIB
    memory_bytes: int = 8192 * MIB
    process_bytes: int | None = None
    run_seconds: float = 600.0
    connections: int = 64
    idle_seconds: float = 600.0
    memory_seconds: float = 60.0
    login_seconds: float = 10.0

    @property
    def connections_of_a_client(self) -> int:
        """Most connections of one client."""
        return max(1, self.connections // 2)
