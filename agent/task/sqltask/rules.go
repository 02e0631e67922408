package sqltask

import (
	"regexp"
	"slices"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/agent/task/statement"
	"backfleet/pkg/fault"
)

// claim is a partition that the script claims (agent/task/fence).
type claim struct{ target, part string }

// claimed is how it says so, in a comment of its own before the first statement.
var claimed = regexp.MustCompile(`(?m)^[ \t]*--[ \t]*backfleet:(\w+)(?:[ \t]+(\S+))?(?:[ \t]+(\S.*?))?[ \t\r]*$`)

// claims are those of a script. One at another place would be passed over, and
// the partition unprotected, so it is refused.
func claims(code string, first statement.Statement) (list []claim, err error) {
	for _, m := range claimed.FindAllStringSubmatchIndex(code, -1) {
		line := 1 + strings.Count(code[:m[0]], "\n")
		word := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return code[m[2*i]:m[2*i+1]]
		}
		switch {
		case word(1) != "fence" || word(2) == "":
			return nil, fault.Field("code", "line %d: expected -- backfleet:fence TABLE PARTITION", line)
		case m[0] >= first.Offset:
			return nil, fault.Field("code", "line %d: backfleet:fence stands before the first statement, for it is the first thing in the transaction: move it there", line)
		}
		list = append(list, claim{word(2), word(3)})
	}
	return list, nil
}

// within refuses statements that would end the transaction of sql.transaction.
func within(dialect string, list []statement.Statement) error {
	for i, s := range list {
		if word := control(dialect, s); word != "" {
			return fault.Field("code", "statement %d (line %d): %s within sql.transaction: leave it out, the transaction is the script, or set sql.transaction to false", i+1, s.Line, word)
		}
		if dialect == database.MySQL && commits(s) {
			return fault.Field("code", "statement %d (line %d): %s commits in MySQL, so what comes before it could not be undone: run it in a node of its own, or set sql.transaction to false", i+1, s.Line, s.Word(0))
		}
	}
	return nil
}

// unfinished refuses a script that leaves a transaction of its own open: it would
// be undone without a word.
func unfinished(dialect string, list []statement.Statement) error {
	if open := begun(dialect, list); open >= 0 {
		return fault.Field("code", "statement %d (line %d): the transaction that begins there is never committed, and would be undone: add COMMIT, or leave it out and set sql.transaction to true", open+1, list[open].Line)
	}
	return nil
}

// begun is the statement that has begun a transaction which is open after all of
// them; -1: there is none.
func begun(dialect string, list []statement.Statement) int {
	open := -1
	for i, s := range list {
		switch word := control(dialect, s); {
		case word == "BEGIN", word == "START TRANSACTION":
			open = i
		case word != "", dialect == database.MySQL && commits(s):
			open = -1
		}
	}
	return open
}

// control is what a statement does to the transaction around it; empty: nothing.
func control(dialect string, s statement.Statement) string {
	first, second := s.Word(0), s.Word(1)
	switch {
	case first == "BEGIN" && second != "NOT": // BEGIN NOT ATOMIC is a block
		return first
	case first == "START" && second == "TRANSACTION", first == "PREPARE" && second == "TRANSACTION":
		return first + " " + second
	case first == "COMMIT", first == "END", first == "ABORT" && dialect == database.Postgres:
		return first
	case first == "ROLLBACK" && !slices.Contains([]string{second, s.Word(2)}, "TO"): // a savepoint is within
		return first
	}
	return ""
}

// commits says whether a statement commits in MySQL, whatever is asked.
func commits(s statement.Statement) bool {
	switch s.Word(0) {
	case "CREATE", "DROP":
		return !slices.Contains([]string{s.Word(1), s.Word(3)}, "TEMPORARY") // CREATE OR REPLACE TEMPORARY
	case "ALTER", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "LOCK", "UNLOCK", "ANALYZE", "OPTIMIZE", "REPAIR", "FLUSH", "RESET", "INSTALL", "UNINSTALL":
		return true
	case "SET":
		return s.Word(1) == "AUTOCOMMIT"
	}
	return false
}
