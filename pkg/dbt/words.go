package dbt

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"backfleet/pkg/node"
)

// maxID is the most letters that the id of a node has.
const maxID = 128

// ids gives each unique id the id of its node: the same in small letters, with
// _ for what no id may have, cut where it is too long. Where that would make
// two the same, or something was cut off, the id ends in a sum of the whole
// unique id, so that it depends on nothing else that the project has.
func ids(unique []string) map[string]string {
	plain := make(map[string]string, len(unique))
	taken := make(map[string]int, len(unique))
	for _, u := range unique {
		plain[u] = safe(u)
		taken[plain[u]]++
	}
	for u, id := range plain {
		if taken[id] > 1 || len(id) > maxID {
			sum := sha256.Sum256([]byte(u))
			tail := "-" + hex.EncodeToString(sum[:5])
			plain[u] = id[:min(len(id), maxID-len(tail))] + tail
		}
	}
	return plain
}

// safe replaces what may not stand in the id of a node.
func safe(s string) string {
	id := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.', r == '-':
			return r
		}
		return '_'
	}, strings.ToLower(s))
	if !node.ValidID(id[:min(len(id), 1)]) {
		id = "_" + id
	}
	return id
}

// oneLine makes a text that may stand in a table, of at most so many bytes.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.Join(strings.Fields(s), " "), most)
}

// cut shortens a text to so many bytes, with a sign that it does.
func cut(s string, most int) string {
	const sign = "…"
	if len(s) <= most {
		return s
	}
	return strings.TrimSpace(strings.ToValidUTF8(s[:most-len(sign)], "")) + sign
}

// clip cuts foreign text for a message.
func clip(s string) string { return cut(s, 200) }

// quote makes one word of a text, as a shell reads it.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_./:@%+,=-", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainWord says whether a text means itself to a shell, to dbt's --select and
// to Backfleet's parameters, wherever it stands.
func plainWord(s string) bool {
	for i, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && (i == 0 || r != '.' && r != '-') {
			return false
		}
	}
	return s != ""
}
