#!/bin/sh
# Builds the Debian packages: package.sh NFPM VERSION FOLDER. `make package`
# calls it. The same sources give the same bytes: times are the last commit's.
set -eu
nfpm=$1 VERSION=$2 out=$3
go=${GO:-go}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)

ARCH=$("$go" env GOARCH)
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/go.mod")}
export SOURCE_DATE_EPOCH

build() { # build NAME PACKAGE VARIABLE TAGS; a variable that is not there is passed over
	(cd "$root" && CGO_ENABLED=0 "$go" build -trimpath -buildvcs=false -tags "$4" -ldflags "-s -w -X $3=$VERSION" -o "$STAGE/bin/$1" "$2")
}
build backfleet ./ops/backfleet backfleet/ops/backfleet/command.release ""
build backfleet-agent ./agent main.version grpcnotrace
build backfleet-task ./ops/backfleet-task main.version grpcnotrace

mkdir -p "$STAGE/completion" "$STAGE/man" "$STAGE/doc"
for name in backfleet backfleet-agent; do
	for shell in bash zsh fish; do
		"$STAGE/bin/$name" completion "$shell" >"$STAGE/completion/$name.$shell"
	done
done
"$STAGE/bin/backfleet-agent" example-config >"$STAGE/agent.yaml"
(cd "$root" && "$go" run ./ops/docs -man "$STAGE/pages")
for page in "$STAGE"/pages/* "$here"/man/*; do # the page of backfleet itself is the one written by hand
	gzip -9nc "$page" >"$STAGE/man/$(basename "$page").gz"
done
gzip -9nc "$here/INSTALL.md" >"$STAGE/doc/INSTALL.md.gz"
(cd "$root" && "$go" run ./ops/notices -o "$STAGE/doc/THIRD_PARTY" -page api/web/dist/licenses.json ./ops/backfleet ./agent ./ops/backfleet-task)
gzip -9n "$STAGE/doc/THIRD_PARTY"

# The history is the repository's; the packages name the version they are.
cat >"$STAGE/changelog.yaml" <<-END
	- semver: "$VERSION"
	  date: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
	  packager: Backfleet maintainers <maintainers@backfleet.invalid>
	  deb: {urgency: medium, distributions: [unstable]}
	  changes:
	    - note: Built from this version's sources.
END

cd "$here"
for name in backfleet backfleet-agent; do
	sed -e "s|\${STAGE}|$STAGE|g; s|\${VERSION}|$VERSION|g; s|\${ARCH}|$ARCH|g" "nfpm/$name.yaml" >"$STAGE/$name.yaml"
	"$nfpm" package --config "$STAGE/$name.yaml" --packager deb --target "$out"
done
