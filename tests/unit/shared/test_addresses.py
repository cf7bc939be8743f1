"""Public addresses: all of the internet, and nothing that only insiders should reach."""

from ipaddress import ip_address, ip_network

import pytest

from shared.addresses import kind_of, may_be_reached, read_networks

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip
OTHERS = {
    "unspecified": ["0.0.0.1", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "fc00::1", "fdff::1",
                "fd00:ec2::254", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1"],
    "link-local": ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1",
                   "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"],
    "carrier-grade NAT": ["100.64.0.1", "100.127.255.255", "::ffff:100.64.0.1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "reserved": [
        "192.0.0.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "240.0.0.1", "255.255.255.255",
        "2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:10::1", "2001:20::1",
        "2002:7f00:1::", "2002:808:808::",  # 6to4, whatever it carries
        "::127.0.0.1", "::8.8.8.8",  # compatible
        "::ffff:0:127.0.0.1",  # translated
        "64:ff9b:1::7f00:1", "64:ff9b:1:a00:0:100::",  # NAT64 of a network's own
        "100::1", "4000::1", "5f00::1", "1fff::1", "e000::1",
    ],
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address(address):
    assert kind_of(ip_address(address)) == "public"
    assert may_be_reached(ip_address(address), ())


@pytest.mark.parametrize(
    ("address", "kind"), [(address, kind) for kind, found in OTHERS.items() for address in found]
)
def test_an_address_that_is_not_public(address, kind):
    assert kind_of(ip_address(address)) == kind
    assert not may_be_reached(ip_address(address), ())


@pytest.mark.parametrize(
    ("address", "reached"),
    [("10.0.0.1", True), ("::ffff:10.0.0.1", True), ("10.0.1.1", False), ("::1", False), ("fd00::1", True)],
)
def test_networks_that_are_allowed(address, reached):
    allowed = read_networks(" 10.0.0.0/24, fd00::/64 ,")
    assert allowed == [ip_network("10.0.0.0/24"), ip_network("fd00::/64")]
    assert may_be_reached(ip_address(address), allowed) is reached


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", "10.0.0.0/33", "10.0.0.0/8 fd00::/8"])
def test_what_is_no_network_is_named(text):
    with pytest.raises(ValueError, match="is no address and no network") as caught:
        read_networks(f"127.0.0.1,{text}")
    assert repr(text) in str(caught.value)
