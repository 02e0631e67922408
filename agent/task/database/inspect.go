package database

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"backfleet/pkg/datasource"
)

// ViewText is the query of a view, as the database writes it: names and operators
// may be written otherwise than they were given, texts in quotes are as they
// were. It is empty if there is no such view, or it is another user's.
func (db *DB) ViewText(ctx context.Context, view string) (string, error) {
	schema, name := "", view
	if i := strings.LastIndexByte(view, '.'); i >= 0 {
		schema, name = view[:i], view[i+1:]
	}
	query, arguments := "", []any{name}
	switch db.dialect.Type() {
	case datasource.SQLite:
		master := "sqlite_master"
		if schema != "" {
			master = db.dialect.Quote(schema) + "." + master
		}
		query = "SELECT sql FROM " + master + " WHERE type = 'view' AND name = ?"
	default:
		own := map[string]string{datasource.Postgres: "current_schema()", datasource.MySQL: "DATABASE()"}[db.dialect.Type()]
		if schema != "" {
			own, arguments = db.dialect.Placeholder(2), append(arguments, schema)
		}
		query = "SELECT view_definition FROM information_schema.views WHERE table_name = " + db.dialect.Placeholder(1) + " AND table_schema = " + own
	}
	var text sql.NullString
	err := db.QueryRowContext(ctx, query, arguments...).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text.String, err
}

// SameType says whether a column that a table has may be the one that was wanted.
// What the database cannot tell is taken for the same: MySQL keeps booleans as
// small numbers, and MariaDB JSON as text.
func SameType(d Dialect, wanted, has Column) bool {
	if has.Type == wanted.Type || has.Type == "" {
		return true
	}
	kept := map[string]string{"boolean": "integer", "json": "text"}
	return d.Type() == datasource.MySQL && kept[wanted.Type] == has.Type
}
