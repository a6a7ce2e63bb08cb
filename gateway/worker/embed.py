"""Writes a text file as the initialiser of a C array: embed.py INPUT OUTPUT."""
import sys

with open(sys.argv[1], "rb") as source:
    data = source.read()
with open(sys.argv[2], "w", encoding="ascii") as target:
    for start in range(0, len(data), 16):
        target.write("".join(f"0x{byte:02x}," for byte in data[start:start + 16]) + "\n")
