"""Kinds of IP addresses: public ones, and those of networks that only insiders should reach."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

KINDS = {
    "unspecified": ["0.0.0.0/8", "::/128"],
    "loopback": ["127.0.0.0/8", "::1/128"],
    "private": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"],
    "link-local": ["169.254.0.0/16", "fe80::/10"],
    "carrier-grade NAT": ["100.64.0.0/10"],
    "cloud infrastructure": [
        "168.63.129.16/32",  # Azure's host agent, which every virtual machine reaches
        "161.26.0.0/16",  # IBM Cloud's services inside its network
        "166.8.0.0/14",
    ],
    "multicast": ["224.0.0.0/4", "ff00::/8"],
    "documentation": [
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ],
    "reserved": [
        "192.0.0.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
        "240.0.0.0/4",
        "2001::/23",  # protocols, among them Teredo, which carries an IPv4 address
        "2002::/16",  # 6to4, which carries an IPv4 address too
    ],
}
NETWORKS = [(ip_network(text), kind) for kind, texts in KINDS.items() for text in texts]
GLOBAL_UNICAST = IPv6Network("2000::/3")  # of IPv6, all else is reserved
NAT64 = IPv6Network("64:ff9b::/96")  # where a network without IPv4 sees the IPv4 internet


def kind_of(address: Address) -> str:
    """The kind of an address: `public`, or a key of KINDS."""
    address = _unwrapped(address)
    for network, kind in NETWORKS:
        if address in network:
            return kind
    return "public" if isinstance(address, IPv4Address) or address in GLOBAL_UNICAST else "reserved"


def may_be_reached(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether an address is public, or in one of the allowed networks."""
    return kind_of(address) == "public" or any(_unwrapped(address) in network for network in allowed)


def read_networks(text: str) -> list[Network]:
    """The networks of a comma-separated list. Raises ValueError, which names the wrong entry."""
    networks = []
    for name in filter(None, map(str.strip, text.split(","))):
        try:
            networks.append(ip_network(name))
        except ValueError:
            raise ValueError(f"{name!r} is no address and no network such as 10.0.0.0/8") from None
    return networks


def _unwrapped(address: Address) -> Address:
    """The IPv4 address within an IPv6 address that only wraps it; any other address unchanged."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
