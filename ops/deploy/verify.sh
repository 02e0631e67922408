#!/bin/bash
# Proves the Debian packages: installs them into a fresh Debian tree, boots that
# tree's systemd in namespaces of its own, and walks the way of an operator there
# (verify/walk.sh). verify.sh OLD NEW, two folders with packages of two versions;
# `make verify-deploy` builds both. Needs root, mmdebstrap, and a Debian mirror
# in this host's own sources of apt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# boot runs in new namespaces: it gives the tree what a host's kernel gives and
# becomes its init. When it ends everything that it started has ended.
boot() { # boot TREE
	local t=$1 d
	mount --make-rprivate /
	mount --bind "$t" "$t"
	mount -t proc proc "$t/proc"
	mount --bind "$t/proc/sys" "$t/proc/sys" # the kernel's settings are the host's
	mount -o remount,bind,ro "$t/proc/sys"
	mount -t sysfs -o ro sysfs "$t/sys"
	mount -t cgroup2 cgroup2 "$t/sys/fs/cgroup"
	mount -t tmpfs -o mode=755 tmpfs "$t/dev"
	for d in null zero full random urandom tty; do
		touch "$t/dev/$d"
		mount --bind "/dev/$d" "$t/dev/$d"
	done
	mkdir "$t/dev/shm" "$t/dev/pts"
	ln -s /proc/self/fd "$t/dev/fd"
	ln -s pts/ptmx "$t/dev/ptmx"
	for d in run tmp dev/shm; do mount -t tmpfs tmpfs "$t/$d"; done
	ip link set lo up
	mkdir -p "$t/.host"
	cd "$t"
	pivot_root . .host
	umount -l /.host
	exec env -i container=namespaces PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
		--unit=walk.service --show-status=no --log-target=null
}
if [ "${1-}" = --boot ]; then
	boot "$2"
fi

[ $# = 2 ] || { echo "usage: $0 OLD NEW (folders with packages)" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "verify: root is needed, for namespaces and users of the tree's own" >&2; exit 1; }
for tool in mmdebstrap unshare ip; do
	command -v "$tool" >/dev/null || { echo "verify: $tool is missing: apt-get install mmdebstrap util-linux iproute2" >&2; exit 1; }
done
mirror=/etc/apt/sources.list.d/debian.sources
[ -e "$mirror" ] || mirror=/etc/apt/sources.list
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
tree=$work/tree
echo "== a fresh Debian ($suite)"
mmdebstrap --quiet --variant=apt --include=systemd,passwd,ca-certificates --aptopt='Acquire::Check-Valid-Until "false"' \
	--skip=cleanup/apt/lists "$suite" "$tree" "$mirror"

cp -r "$1" "$tree/root/old"
cp -r "$2" "$tree/root/new"
cp "$here/verify/walk.sh" "$tree/root/walk.sh"
cp "$here/verify/walk.service" "$tree/etc/systemd/system/walk.service"
tr -d - </proc/sys/kernel/random/uuid >"$tree/etc/machine-id"
echo "127.0.0.1 localhost" >"$tree/etc/hosts"
rm -f "$tree/etc/resolv.conf"

echo "== its systemd, as process 1 of namespaces of its own"
status=0
timeout --kill-after=10 420 unshare --cgroup --mount --pid --net --uts --ipc --fork --kill-child "$0" --boot "$tree" || status=$?
cat "$tree/root/walk.log"
if [ "$(cat "$tree/root/walk.result" 2>/dev/null)" != passed ]; then
	echo "verify: the walk failed (init ended with $status)" >&2
	exit 1
fi
