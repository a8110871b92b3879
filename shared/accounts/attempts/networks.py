"""The network of a source IP, by which attempts are counted."""

from __future__ import annotations

import hmac
import ipaddress

from shared.platform import settings


def network_of(source_ip: str) -> str:
    """A keyed hash of the address, of IPv6 the /64 that one customer has (RFC 6177).

    A hash without a key could be reversed in hours: there are few addresses. Raises SecretUnavailable.
    """
    try:
        address = ipaddress.ip_address(source_ip.partition("%")[0])
    except ValueError:
        network = source_ip
    else:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        prefix = 64 if address.version == 6 else 32
        network = str(ipaddress.ip_network((address, prefix), strict=False))
    text = f"network {network}".encode(errors="surrogatepass")
    return hmac.digest(settings.address_key(), text, "sha256").hex()[:16]
