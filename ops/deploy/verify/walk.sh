#!/bin/bash
# The way of an operator, in a tree that verify.sh boots: install, configure,
# run, restart, upgrade, stop, remove, purge. /root/old and /root/new hold
# packages of two versions.
set -euo pipefail
cd /root
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 NO_COLOR=1

say() { printf -- '-- %s\n' "$*"; }
die() {
	printf 'FAILED: %s\n' "$*"
	echo failed >/root/walk.result
	for unit in backfleet-coordinator backfleet-agent; do
		systemctl status --no-pager --lines=30 "$unit" || true
	done
	tail -n 30 /var/lib/backfleet-agent/keeper/keeper.log 2>/dev/null || true
	exit 1
}
trap 'die "line $LINENO: $BASH_COMMAND"' ERR

within() { # within SECONDS WHAT COMMAND...: until the command succeeds
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { "$@" || true; die "not in time: $what"; }
		sleep 0.2
	done
}
expect() { # expect WHAT WANTED FOUND
	[ "$2" = "$3" ] || die "$1: expected \"$2\", found \"$3\""
}
has() { # has FILE TEXT
	grep -qF -- "$2" "$1"
}
leads() {
	backfleet cluster status -o json >/root/cluster.json && grep -q '"leader": *"c1"' /root/cluster.json
}
alive() { kill -0 "$1" 2>/dev/null; }
dead() { ! alive "$1"; }
agent_is() { # agent_is STATE [VERSION]
	backfleet agent list -o json >/root/agents.json
	grep -q "\"state\": *\"$1\"" /root/agents.json && { [ $# = 1 ] || grep -qF "\"$2\"" /root/agents.json; }
}
processes() { # processes of the agent and of what it runs
	find /sys/fs/cgroup/system.slice/backfleet-agent.service -name cgroup.procs -exec cat {} + 2>/dev/null || true
}
ended() { [ -z "$(processes)" ]; }

old=$(dpkg-deb -f old/backfleet_*.deb Version)
new=$(dpkg-deb -f new/backfleet_*.deb Version)

say "install $old"
dpkg -i old/*.deb
expect "the coordinator, without settings" inactive "$(systemctl is-active backfleet-coordinator || true)"
expect "the agent, without settings" inactive "$(systemctl is-active backfleet-agent || true)"
expect "the coordinator" enabled "$(systemctl is-enabled backfleet-coordinator)"
expect "the agent" enabled "$(systemctl is-enabled backfleet-agent)"
systemctl start backfleet-coordinator backfleet-agent # says nothing and starts nothing
expect "the agent, started without settings" inactive "$(systemctl is-active backfleet-agent || true)"
expect "the example of the coordinator" "640 root backfleet" "$(stat -c '%a %U %G' /etc/backfleet/coordinator.example.env)"
expect "the example of the agent" "640 root backfleet-agent" "$(stat -c '%a %U %G' /etc/backfleet/agent.example.yaml)"
systemd-analyze verify --man=no /usr/lib/systemd/system/backfleet-*.service 2>&1 | grep -v DelegateSubgroup && die "systemd finds fault with the units"
dpkg --verify backfleet backfleet-agent
backfleet version
backfleet-agent --version

say "certificates, tokens and settings"
backfleet tls init --dir pki
backfleet tls issue coordinator c1 --host localhost --host 127.0.0.1 --dir pki
backfleet tls issue agent w1 --dir pki
cp pki/ca.pem pki/coordinator-c1.pem pki/coordinator-c1.key /etc/backfleet/tls/
cp pki/agent-w1.pem /etc/backfleet/tls/agent.pem
cp pki/agent-w1.key /etc/backfleet/tls/agent.key
head -c 24 /dev/urandom | base64 >token
chmod 0600 token
printf 'admin:%s\n' "$(cat token)" >/etc/backfleet/tokens
systemd-tmpfiles --create backfleet.conf
expect "the tokens" "640 root backfleet" "$(stat -c '%a %U %G' /etc/backfleet/tokens)"
export BACKFLEET_SERVER=https://localhost:8470 BACKFLEET_TOKEN_FILE=/root/token BACKFLEET_CA=/root/pki/ca.pem
sed 's/--advertise-host host1/--advertise-host localhost/' /etc/backfleet/coordinator.example.env >/etc/backfleet/coordinator.env
systemd-tmpfiles --create backfleet.conf

say "the coordinator"
systemctl start backfleet-coordinator
within 30 "the coordinator leads" leads
expect "its user" backfleet "$(stat -c %U /proc/"$(systemctl show -P MainPID backfleet-coordinator)")"

say "the agent"
backfleet agent token create --group default -o name >/etc/backfleet/agent.token
cp -p /etc/backfleet/agent.example.yaml /etc/backfleet/agent.yaml
sed -i -e 's/^#id:.*/id: w1/' -e 's/^#tls:/tls:/' -e 's/^#tokenFile:/tokenFile:/' \
	-e 's,^#\(  [a-z]*: /etc/backfleet/tls/\),\1,' \
	-e 's/^coordinators:.*/coordinators: [localhost:8471]/' -e 's/^groups:.*/groups: {default: 4}/' /etc/backfleet/agent.yaml
systemd-tmpfiles --create backfleet-agent.conf
runuser -u backfleet-agent -- backfleet-agent check-config --config /etc/backfleet/agent.yaml
systemctl start backfleet-agent
within 30 "the agent is ready" agent_is ready "$old"
has /root/agents.json backfleet/sql || die "the agent has not found the program for tasks: $(cat /root/agents.json)"
backfleet-agent status --config /etc/backfleet/agent.yaml
grep "cgroups of attempts" /var/lib/backfleet-agent/keeper/keeper.log
expect "its user" backfleet-agent "$(stat -c %U /proc/"$(systemctl show -P MainPID backfleet-agent)")"

say "a first backfill"
mkdir nodes
cat >nodes/quick.yaml <<-'END'
	id: quick
	params: {dt: "${yyyymmdd}"}
	code: |
	  echo "of $dt as $(id -un)"
	  if touch /etc/backfleet/mine 2>/dev/null; then echo "the host is not protected"; exit 1; fi
END
cat >nodes/slow.yaml <<-'END'
	id: slow
	params: {dt: "${yyyymmdd}"}
	code: |
	  echo $$ >>/tmp/started-$dt
	  until [ -e /tmp/go-$dt ]; do sleep 0.2; done
	  echo done >>/tmp/ended-$dt
END
backfleet node apply -f nodes
backfleet backfill submit --node quick --dates 2024-01-01..2024-01-05 --watch
backfleet backfill receipt b1
backfleet instance logs b1.0 >log
has log "as backfleet-agent" || die "the log of b1.0: $(cat log)"

say "restart and upgrade, under what runs"
backfleet backfill submit --node slow --dates 2024-01-01
within 30 "slow has started" test -s /tmp/started-20240101
pid=$(cat /tmp/started-20240101)
session=$(systemctl show -P MainPID backfleet-agent)
systemctl restart backfleet-agent
[ "$session" != "$(systemctl show -P MainPID backfleet-agent)" ] || die "the session is the same after a restart"
alive "$pid" || die "what ran did not survive a restart"
coordinator=$(systemctl show -P MainPID backfleet-coordinator)
session=$(systemctl show -P MainPID backfleet-agent)
dpkg -i new/*.deb | tee upgrade.log
has upgrade.log "systemctl restart backfleet-coordinator" || die "the upgrade does not say that the coordinator is the operator's to restart"
expect "the coordinator's process after the upgrade" "$coordinator" "$(systemctl show -P MainPID backfleet-coordinator)"
[ "$session" != "$(systemctl show -P MainPID backfleet-agent)" ] || die "the session is the same after an upgrade"
alive "$pid" || die "what ran did not survive the upgrade"
within 30 "the agent of the new version is ready" agent_is ready "$new"
systemctl restart backfleet-coordinator
within 30 "the coordinator leads again" leads
alive "$pid" || die "what ran did not survive a restart of the coordinator"
touch /tmp/go-20240101
backfleet backfill watch b2
expect "starts of slow" 1 "$(wc -l </tmp/started-20240101)"
expect "ends of slow" "done" "$(cat /tmp/ended-20240101)"
[ -e /etc/backfleet/agent.yaml ] && [ -e /etc/backfleet/coordinator.env ] || die "the upgrade took away settings"

say "drain"
backfleet agent drain w1 --why "upgrade of the host"
within 10 "the agent drains" agent_is draining
backfleet agent resume w1
within 10 "the agent is ready" agent_is ready

say "a node that is no script"
install -m 0640 -g backfleet-agent /dev/stdin /etc/backfleet/secrets/probe <<<"a secret of the agent's"
cat >nodes/asks.yaml <<-'END'
	id: asks
	type: http
	http: {method: GET, url: "http://127.0.0.1:6060/debug/pprof/cmdline"}
END
sed -i 's/^#pprof:/pprof:/' /etc/backfleet/agent.yaml
systemctl restart backfleet-agent
within 30 "the agent is ready" agent_is ready
backfleet node apply -f nodes
backfleet backfill submit --node asks --dates 2024-01-01 --watch
backfleet instance logs b3.0 | tee log
has log "200 OK" || die "the log of b3.0: $(cat log)"

say "nodes of other users"
useradd --system --create-home --shell /usr/sbin/nologin nodes
install -D -m 0644 /usr/share/backfleet-agent/users.conf /etc/systemd/system/backfleet-agent.service.d/users.conf
sed -i -e 's/^#run:/run:/' -e 's/^#  user: .*/  user: nodes/' /etc/backfleet/agent.yaml
systemctl daemon-reload
systemctl kill --kill-whom=all backfleet-agent
within 20 "the agent and its keeper have ended" ended
systemctl start backfleet-agent
within 30 "the agent is ready" agent_is ready
cat >nodes/who.yaml <<-'END'
	id: who
	code: |
	  echo "as $(id -un) in $(stat -c %U .), $(grep CapEff /proc/self/status)"
	  if cat /etc/backfleet/agent.token /etc/backfleet/tls/agent.key /etc/backfleet/secrets/probe 2>/dev/null; then echo "nodes can read the agent's secrets"; exit 1; fi
END
backfleet node apply -f nodes
backfleet backfill submit --node who --dates 2024-01-01 --watch
backfleet instance logs b4.0 | tee log
has log "as nodes in nodes" || die "the log of b4.0: $(cat log)"
grep -q 'CapEff:[[:space:]]*0000000000000000$' log || die "the code of nodes has capabilities of the agent: $(cat log)"

say "stop: what runs ends with its lease"
backfleet backfill submit --node slow --dates 2024-01-02
within 30 "slow has started" test -s /tmp/started-20240102
pid=$(cat /tmp/started-20240102)
systemctl stop backfleet-agent
alive "$pid" || die "stop ended at once what runs"
within 20 "its lease ends" dead "$pid"
touch /tmp/go-20240102
systemctl start backfleet-agent
backfleet backfill watch b5
expect "ends of slow" "done" "$(cat /tmp/ended-20240102)"

say "remove: nothing goes on"
backfleet backfill submit --node slow --dates 2024-01-03
within 30 "slow has started" test -s /tmp/started-20240103
pid=$(cat /tmp/started-20240103)
dpkg -r backfleet-agent
dead "$pid" || die "what ran goes on after the package was removed"
expect "processes" "" "$(processes)"
[ -d /var/lib/backfleet-agent ] && [ -e /etc/backfleet/agent.yaml ] || die "removing took away data or settings"
dpkg -r backfleet
expect "the coordinator" inactive "$(systemctl is-active backfleet-coordinator || true)"
[ -d /var/lib/backfleet/wal ] || die "removing took away data"

say "purge: nothing is left but certificates, secrets and users"
dpkg -P backfleet backfleet-agent
for gone in /var/lib/backfleet /var/lib/backfleet-agent /etc/backfleet/agent.yaml /etc/backfleet/coordinator.env /etc/backfleet/tokens \
	/etc/backfleet/agent.example.yaml /usr/bin/backfleet /usr/bin/backfleet-agent /usr/bin/backfleet-task; do
	[ ! -e "$gone" ] || die "$gone is still there"
done
[ -e /etc/backfleet/tls/ca.pem ] || die "the operator's certificates are gone"

say "all of it held"
echo passed >/root/walk.result
