"""A hospital whose HL7 v2 is python-hl7's: what the hub's own code writes and reads is not looked at by that code alone.

send HOST PORT KEY...  reads a message on each line, as {"delimiters": ..., "fields": {KEY: text}} in JSON, builds it, sends it over MLLP, and
                       writes what the acknowledgement holds at the keys, as {KEY: text or null}.
ward PORT KEY...       takes messages over MLLP and writes what each holds at the keys. The first sending of each is answered AE, and the
                       next AA.

Keys are python-hl7's own, such as PID.F5.R1.C1 or OBX2.F5.R1.C1.
"""

import asyncio
import json
import sys

import hl7
import hl7.mllp

SEGMENTS = ["EVN", "PID", "PD1", "MRG", "PV1", "PV2"]
ENCODING = "utf-8"


def build(order):
    """The message with those delimiters (MSH-1 and MSH-2) and fields; texts are escaped by the library."""
    d = order["delimiters"]
    message = hl7.parse("MSH" + d + d[0])
    used = {hl7.Accessor.parse_key(key).segment for key in order["fields"]}
    for name in SEGMENTS:
        if name in used:
            message.append(message.create_segment([message.create_field([name])]))
    for key, text in order["fields"].items():
        message[key] = message.escape(text)
    return message


def at(message, key):
    try:
        return str(message[key])
    except (KeyError, IndexError):
        return None


def tell(message, keys):
    print(json.dumps({key: at(message, key) for key in keys}), flush=True)


async def send(host, port, *keys):
    reader, writer = await hl7.mllp.open_hl7_connection(host, int(port), encoding=ENCODING)
    for line in sys.stdin:
        writer.writemessage(build(json.loads(line)))
        await writer.drain()
        tell(await reader.readmessage(), keys)
    writer.close()


async def ward(port, *keys):
    seen = set()

    async def converse(reader, writer):
        try:
            while True:
                message = await reader.readmessage()
                tell(message, keys)
                number = str(message["MSH.F10"])
                writer.writemessage(message.create_ack("AA" if number in seen else "AE"))
                seen.add(number)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await hl7.mllp.start_hl7_server(converse, "127.0.0.1", int(port), encoding=ENCODING)
    async with server:
        await server.serve_forever()


asyncio.run({"send": send, "ward": ward}[sys.argv[1]](*sys.argv[2:]))
