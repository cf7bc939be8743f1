"""The kernel's account of a TCP connection."""

import socket
import struct
import sys
from typing import Any

BYTES_ACKED = 120  # where Linux' struct tcp_info has tcpi_bytes_acked, an unsigned 64-bit number
INFO_BYTES = BYTES_ACKED + 8


def acknowledged(connection: Any) -> int | None:
    """The bytes that the other side's kernel has acknowledged; None where this kernel does not show them.

    Args:
        connection: a socket, or an event loop's wrapper of one.
    """
    if sys.platform != "linux" or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    except OSError:
        return None
    count: int | None = struct.unpack_from("=Q", info, BYTES_ACKED)[0] if len(info) == INFO_BYTES else None
    return count
