// Package fence refuses late writers. An attempt whose lease has passed may still
// be on its way to the target, on a host that was frozen. Every attempt has a
// fence that is larger than those before it (RULES R13.3), and the target itself
// remembers the largest that has written: a table in a database, a small file
// beside a folder. DESIGN.md beside this file has the same for code of one's own.
package fence

import (
	"context"
	"math"

	"backfleet/agent/task/database"
	"backfleet/pkg/fault"
)

// Table is the ledger in a database: one row for each partition of a target.
const Table = "backfleet_fence"

// most bounds names of targets and partitions, in bytes: they are a key.
const most = 255

// create makes the ledger. All databases take this text; MySQL's has more at its
// end. What is written without a moment has its own.
const create = `CREATE TABLE IF NOT EXISTS backfleet_fence (
  target varchar(255) NOT NULL,
  part varchar(255) NOT NULL,
  fence bigint NOT NULL,
  instance varchar(64) NOT NULL,
  written_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (target, part)
)`

// By is who writes.
type By struct {
	Fence    uint64 // of the attempt
	Instance string // for people: "b12.345"
}

// Prepare creates the ledger if it is not there. Call it before the transaction:
// MySQL would commit that.
func Prepare(ctx context.Context, db *database.DB) error {
	_, err := db.Columns(ctx, Table)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	text := create
	if db.Dialect().Type() == database.MySQL {
		text += " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
	}
	if err := db.Define(ctx, text); err != nil {
		return fault.New(fault.Denied, "data source %q: the ledger of fences, table %s, cannot be created: %s; have somebody create it who may, with: %s",
			db.Name(), Table, db.Dialect().Explain(err, text), text)
	}
	return nil
}

// Claim says that the transaction writes a partition of a target. It is refused
// (fault.Conflict) if an attempt with a larger fence has. Call it first in the
// transaction: from then to the transaction's end no other attempt writes that
// partition, and whoever comes later sees this one's fence. target and part are
// names of 1 to 255 bytes; part may be empty, for a whole table.
func Claim(ctx context.Context, tx *database.Tx, target, part string, by By) error {
	if err := check(target, part, by); err != nil {
		return err
	}
	d := tx.Dialect()
	text, look := merge, "SELECT fence, instance FROM backfleet_fence WHERE target = "+d.Placeholder(1)+" AND part = "+d.Placeholder(2)
	switch d.Type() {
	case database.MySQL:
		text = mysqlMerge
		look += " FOR UPDATE" // what is there now, not when the transaction began
	case database.SQLite:
		text = sqliteMerge
	}
	instance := by.Instance[:min(len(by.Instance), 64)]
	if _, err := tx.ExecContext(ctx, text, target, part, int64(by.Fence), instance); err != nil {
		return failed(d, err, text, target, part)
	}
	var last int64
	var other string
	if err := tx.QueryRowContext(ctx, look, target, part).Scan(&last, &other); err != nil {
		return failed(d, err, look, target, part)
	}
	if uint64(last) > by.Fence {
		return late(target, part, By{Fence: uint64(last), Instance: other}, by)
	}
	return nil
}

// The row is written, and so locked until the end of the transaction, before it
// is looked at. That the condition does not hold changes nothing in it.
const (
	merge = `INSERT INTO backfleet_fence (target, part, fence, instance, written_at) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)
ON CONFLICT (target, part) DO UPDATE SET fence = excluded.fence, instance = excluded.instance, written_at = excluded.written_at
WHERE backfleet_fence.fence <= excluded.fence`

	sqliteMerge = `INSERT INTO backfleet_fence (target, part, fence, instance, written_at) VALUES (?, ?, ?, ?, CURRENT_TIMESTAMP)
ON CONFLICT (target, part) DO UPDATE SET fence = excluded.fence, instance = excluded.instance, written_at = excluded.written_at
WHERE backfleet_fence.fence <= excluded.fence`

	// mysqlMerge changes the fence last: what is assigned first is seen by the next.
	mysqlMerge = `INSERT INTO backfleet_fence (target, part, fence, instance, written_at) VALUES (?, ?, ?, ?, CURRENT_TIMESTAMP)
ON DUPLICATE KEY UPDATE instance = IF(fence <= VALUES(fence), VALUES(instance), instance),
written_at = IF(fence <= VALUES(fence), VALUES(written_at), written_at), fence = GREATEST(fence, VALUES(fence))`
)

func check(target, part string, by By) error {
	switch {
	case target == "" || len(target) > most:
		return fault.New(fault.Invalid, "fence: the target's name has %d bytes: expected 1 to %d", len(target), most)
	case len(part) > most:
		return fault.New(fault.TooLarge, "fence: the partition's name has %d bytes: expected at most %d", len(part), most)
	}
	return by.check()
}

func (by By) check() error {
	if by.Fence == 0 || by.Fence > math.MaxInt64 {
		return fault.New(fault.Invalid, "fence: %d is no fence of an attempt: expected what BACKFLEET_FENCE says", by.Fence)
	}
	return nil
}

// failed is an error of the server.
func failed(d database.Dialect, err error, statement, target, part string) error {
	return fault.New(fault.Unavailable, "fence of %s: %s", name(target, part), d.Explain(err, statement))
}

// late refuses.
func late(target, part string, newer, by By) error {
	return fault.New(fault.Conflict, "a newer attempt (fence %d, instance %s) has written %s: this one (fence %d) is late and has changed nothing",
		newer.Fence, newer.Instance, name(target, part), by.Fence)
}

func name(target, part string) string {
	if part == "" {
		return target
	}
	return "partition " + part + " of " + target
}
