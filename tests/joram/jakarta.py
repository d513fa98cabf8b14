#!/usr/bin/env python3
"""jakarta.py IN.jar OUT.jar: the same classes with javax.jms written as jakarta.jms, as the newer client has it.

Names and signatures in a class file are strings of its constant pool, each behind its length; nothing else changes."""
import struct
import sys
import zipfile

TEXT = 1
LONG, DOUBLE = 5, 6
# Bytes behind the tag of a constant of every other kind.
SIZES = {3: 4, 4: 4, LONG: 8, DOUBLE: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}


def renamed(text):
    return text.replace(b"javax/jms/", b"jakarta/jms/").replace(b"javax.jms.", b"jakarta.jms.")


def rewritten(code):
    (count,) = struct.unpack_from(">H", code, 8)
    at, index, out = 10, 1, [code[:10]]
    while index < count:
        tag = code[at]
        if tag == TEXT:
            (size,) = struct.unpack_from(">H", code, at + 1)
            text = renamed(code[at + 3 : at + 3 + size])
            out.append(struct.pack(">BH", TEXT, len(text)) + text)
            at += 3 + size
        else:
            out.append(code[at : at + 1 + SIZES[tag]])
            at += 1 + SIZES[tag]
        index += 2 if tag in (LONG, DOUBLE) else 1  # these two count twice
    return b"".join(out) + code[at:]


def main(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name.endswith(".class"):
                new.writestr(name, rewritten(old.read(name)))


main(*sys.argv[1:])
