package database

import (
	"context"
	"strings"
)

// QuoteTable quotes the name of a table, which may have a schema before it:
// sales.orders is two identifiers.
func QuoteTable(d Dialect, table string) string {
	parts := strings.Split(table, ".")
	for i, p := range parts {
		parts[i] = d.Quote(p)
	}
	return strings.Join(parts, ".")
}

// QuoteColumns quotes columns' names and joins them by commas.
func QuoteColumns(d Dialect, names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = d.Quote(n)
	}
	return strings.Join(quoted, ", ")
}

// CreateTable is how a table that is not there is created: with its columns, and
// with those that are keys as its primary key, or else with an index of them, by
// which a partition is found. Give it to Define.
func CreateTable(d Dialect, table string, columns []Column, primary bool) []string {
	var keys, lines []string
	for _, c := range columns {
		line := d.Quote(c.Name) + " " + d.ColumnType(c)
		if c.Key {
			line += " NOT NULL"
			keys = append(keys, c.Name)
		}
		lines = append(lines, line)
	}
	tail, inline := d.tables()
	var index []string
	switch {
	case len(keys) == 0:
	case primary:
		lines = append(lines, "PRIMARY KEY ("+QuoteColumns(d, keys)+")")
	case inline:
		lines = append(lines, "KEY ("+QuoteColumns(d, keys)+")")
	default:
		// An index is in its table's schema, and has no schema in its own name.
		name := table[strings.LastIndexByte(table, '.')+1:] + "_partition"
		index = []string{"CREATE INDEX IF NOT EXISTS " + d.Quote(name) + " ON " + QuoteTable(d, table) + " (" + QuoteColumns(d, keys) + ")"}
	}
	create := "CREATE TABLE IF NOT EXISTS " + QuoteTable(d, table) + " (\n  " + strings.Join(lines, ",\n  ") + "\n)" + tail
	return append([]string{create}, index...)
}

// DeletePartition is the statement that deletes the rows of a table whose columns
// have the values that are its arguments, in their order; without columns, all.
func DeletePartition(d Dialect, table string, columns []string) string {
	text := "DELETE FROM " + QuoteTable(d, table)
	for i, c := range columns {
		text += []string{" WHERE ", " AND "}[min(i, 1)] + d.Quote(c) + " = " + d.Placeholder(i+1)
	}
	return text
}

// Define runs statements that create or change tables and views. PostgreSQL and
// SQLite do it in one transaction, and tasks that define at the same moment wait
// for one another. Never call it within Write: MySQL would commit, SQLite would
// wait for itself.
func (db *DB) Define(ctx context.Context, statements ...string) error {
	return db.dialect.define(ctx, db, statements)
}

// ReplaceView gives a view a query, whatever columns it had before. As Define, it
// must not be called within Write.
func (db *DB) ReplaceView(ctx context.Context, view, query string) error {
	return db.dialect.replaceView(ctx, db, view, query)
}

// inTransaction defines in one transaction, behind what first says.
func inTransaction(ctx context.Context, db *DB, first string, statements []string) error {
	return db.Write(ctx, func(tx *Tx) error {
		if first != "" {
			statements = append([]string{first}, statements...)
		}
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}
