#!/bin/sh
# Looks at the rules, plays each alert, and reads every expression of the
# dashboards, with Prometheus' own tool.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
promtool check rules alerts.yml
promtool test rules alerts.test.yml
promtool check config --syntax-only prometheus.yml
python3 - "$work/dashboards.yml" dashboards/*.json <<'PY'
import json, sys
# What Grafana puts in for its variables does not matter to the parser.
put = {"$__rate_interval": "5m", "$job": "j", "$instance": "i", "$group": "g"}
rules = []
for path in sys.argv[2:]:
    board = json.load(open(path))
    known = {v["name"] for v in board["templating"]["list"]}
    for panel in board["panels"]:
        if not panel["targets"]:
            sys.exit(f"{path}: {panel['title']} shows nothing")
        for target in panel["targets"]:
            expr = target["expr"]
            for name in ("job", "instance", "group"):
                if f"${name}" in expr and name not in known:
                    sys.exit(f"{path}: {panel['title']} asks for ${name}, which the board does not have")
            for name, value in put.items():
                expr = expr.replace(name, value)
            rules.append({"record": f"r:{len(rules)}", "expr": expr})
json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, open(sys.argv[1], "w"))
PY
promtool check rules "$work/dashboards.yml"
for book in $(sed -n 's/.*runbook: //p' alerts.yml | sort -u); do
	[ -f "../../$book" ] || { echo "an alert names $book, which is not there" >&2; exit 1; }
done
