#!/bin/bash
# Asks a real coordinator whatever the contract lets one make up, and holds its answers against it:
# fuzz-api.sh VENV PROGRAMS TIME [OPTION]…. PROGRAMS is a folder with backfleet and
# backfleet-agent. No agent is there while it asks, for what is made up is also code to run.
set -euo pipefail
cd "$(dirname "$0")/.."
schemathesis=$1/bin/schemathesis programs=$2
case $3 in
*h) seconds=$((${3%h} * 3600)) ;;
*m) seconds=$((${3%m} * 60)) ;;
*) seconds=${3%s} ;;
esac
run=$(mktemp -d)
# Ports that are free now.
read -r http rpc raft < <(python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*("127.0.0.1:%d" % s.getsockname()[1] for s in held))')
end() {
	status=$?
	[ $status -eq 0 ] || tail -n 20 "$run"/*.log
	kill $(jobs -p) 2>/dev/null || true
	wait
	rm -rf "$run"
}
trap end EXIT

umask 077
printf 'root:the-secret-of-the-fuzzer role=admin\nagents:the-secret-of-its-agent role=agent\n' >"$run/tokens"
printf 'the-secret-of-its-agent\n' >"$run/agent"
printf 'the-secret-of-the-fuzzer\n' >"$run/own"
"$programs/backfleet" coordinator --id c1 --data "$run/c1" --bootstrap --http $http --rpc $rpc --raft $raft \
	--token-file "$run/tokens" --log-level warn >"$run/server.log" 2>&1 &
server=$!
export BACKFLEET_SERVER=http://$http BACKFLEET_TOKEN_FILE=$run/own
for _ in $(seq 100); do
	kill -0 $server # or it has ended at once: its log says why
	curl -sf "$BACKFLEET_SERVER/readyz" >/dev/null && break
	read -rt 0.2 <> <(:) || true
done

# What there is to ask about: nodes, a backfill of which some succeeded and some failed, their logs.
mkdir "$run/nodes"
printf 'id: orders\nname: Orders\ncode: echo ${yyyymmdd}\nresourceGroup: quiet\n' >"$run/nodes/orders.yaml"
printf 'id: report\ncode: exit 3\nupstreams: [orders]\nresourceGroup: quiet\n' >"$run/nodes/report.yaml"
"$programs/backfleet-agent" --id a1 --data "$run/a1" --coordinators $rpc --token-file "$run/agent" --group quiet=4 >"$run/agent.log" 2>&1 &
agent=$!
"$programs/backfleet" node apply -f "$run/nodes"
"$programs/backfleet" backfill submit --node orders --mode descendants --dates 2012-01-01..2012-01-07 --wait || [ $? -eq 1 ]
kill $agent
wait $agent || true

status=0
"$schemathesis" --config-file ops/fuzz-api.toml run api/openapi.yaml --url "$BACKFLEET_SERVER" -H "Authorization: Bearer the-secret-of-the-fuzzer" \
	--max-time "$seconds" --report junit --report-dir "${REPORT:-$run/report}" "${@:4}" || status=$?
if ! kill -0 $server 2>/dev/null || grep -v '"path":"/readyz"' "$run/server.log" | grep -E 'panicked|a request failed'; then
	exit 1
fi
exit $status
