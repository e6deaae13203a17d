"""Asking tshark what it reads in datagrams."""

import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

TSHARK = shutil.which("tshark") or ""
"""The program; empty where it is not installed."""

PORT = 5004

Row = dict[str, list[str]]
"""The occurrences of each field in one datagram."""


def pcap(datagrams: Iterable[bytes]) -> bytes:
    """A pcap file (linktype RAW) of these datagrams as UDP over IPv4."""
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 101))
    for second, data in enumerate(datagrams):
        udp = struct.pack(">HHHH", PORT, PORT, 8 + len(data), 0) + data
        loopback = b"\x7f\0\0\x01"
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + loopback * 2 + udp
        out += struct.pack("<IIII", second, 0, len(ip), len(ip)) + ip
    return bytes(out)


def dissect(datagrams: Sequence[bytes], protocol: str, fields: Sequence[str], folder: Path) -> list[Row]:
    """What tshark reads in each datagram, taken for `protocol`; `folder` is for the file that it reads."""
    file = folder / "datagrams.pcap"
    file.write_bytes(pcap(datagrams))
    command = [TSHARK, "-n", "-r", str(file), "-d", f"udp.port=={PORT},{protocol}", "-T", "fields"]
    command += ["-E", "separator=/t", "-E", "aggregator=;"]
    command += [argument for field in fields for argument in ("-e", field)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    rows = [
        {name: value.split(";") if value else [] for name, value in zip(fields, line.split("\t"), strict=True)}
        for line in output.splitlines()
    ]
    assert len(rows) == len(datagrams)
    return rows
