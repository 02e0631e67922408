"""The flights of one day, out of the file of all of them."""

import hashlib
import json
import os
import sys

day, ds = "${day}", "${ds}"
source = os.path.join(os.environ["FLIGHTS_DATA"], "flights-20k.json")
with open(source, encoding="utf-8") as file:
    flights = json.load(file)

lines = []
for number, flight in enumerate(flights, start=1):
    date, time = flight["date"].split(" ")
    if date == day:
        lines.append(json.dumps({
            "flight": number,  # the data has no other name for it: its place in the file
            "departed": time,
            "hour": int(time[:2]),
            "delay": flight["delay"],
            "distance": flight["distance"],
            "origin": flight["origin"],
            "destination": flight["destination"],
        }))
if not lines:
    sys.exit(f"{source} has no flights on {day}")

# Written under a name with the attempt's fence, then renamed: a reader sees the
# old file or the new one, never half of one.
folder = os.path.join(os.environ["WAREHOUSE"], "flights", "ds=" + ds)
os.makedirs(folder, exist_ok=True)
written = os.path.join(folder, ".flights." + os.environ["BACKFLEET_FENCE"])
text = "\n".join(lines) + "\n"
with open(written, "w", encoding="utf-8") as file:
    file.write(text)
os.replace(written, os.path.join(folder, "flights.jsonl"))

print(f"{len(lines)} flights on {day}")
with open(os.environ["BACKFLEET_METRICS"], "a", encoding="utf-8") as file:
    print(f"rows_written={len(lines)}", file=file)
    print(f"checksum={hashlib.sha256(text.encode()).hexdigest()[:16]}", file=file)
