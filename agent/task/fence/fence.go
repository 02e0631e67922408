// Package fence refuses late writers. An attempt whose lease has passed may still
// be on its way to the target, on a host that was frozen. Every attempt has a
// fence that is larger than those before it (RULES R13.3), and the target itself
// remembers the largest that has written: a table in a database, a small file
// beside a folder.
package fence

import (
	"context"

	"backfleet/agent/task/database"
)

// Table is the ledger in a database: one row for each partition of a target.
const Table = "backfleet_fence"

// By is who writes.
type By struct {
	Fence    uint64 // of the attempt
	Instance string // for people, "b12.345"
}

// Prepare creates the ledger if it is not there. Call it before the transaction:
// MySQL would commit that.
func Prepare(ctx context.Context, db *database.DB) error { return nil }

// Claim says that the transaction writes a partition of a target. It is refused
// (fault.Conflict) if an attempt with a larger fence has. Call it first in the
// transaction that writes: from then until the end of the transaction no other
// attempt's can write that partition, and whoever comes later sees this one's
// fence. target and part are names of at most 255 bytes.
func Claim(ctx context.Context, tx *database.Tx, target, part string, by By) error { return nil }

// ClaimFolder is the same for a folder whose contents are replaced by an atomic
// change of name: claim, rename, release. Between ClaimFolder and release no
// other attempt passes. The fence is kept in the file .<name>.fence beside it.
func ClaimFolder(path string, by By) (release func() error, err error) { return nil, nil }
