package datasource

import (
	"regexp"
	"slices"
	"strings"

	"backfleet/pkg/nearest"
)

// option is what a driver's option may be.
type option struct {
	form     *regexp.Regexp
	expected string
}

var (
	number  = option{regexp.MustCompile(`^[0-9]{1,9}$`), "a whole number"}
	seconds = option{regexp.MustCompile(`^[0-9]{1,5}$`), "a whole number of seconds"}
	millis  = option{regexp.MustCompile(`^[0-9]{1,9}$`), "a whole number of milliseconds"}
	span    = option{regexp.MustCompile(`^[0-9]{1,6}(ms|s|m)$`), "a number and a unit, such as 500ms, 30s or 5m"}
	word    = option{regexp.MustCompile(`^[A-Za-z0-9_./:-]{1,128}$`), "a word of letters, digits, _, ., /, : and -"}
	names   = option{regexp.MustCompile(`^[A-Za-z0-9_"$, -]{1,256}$`), "names separated by commas"}
	size    = option{regexp.MustCompile(`^[0-9]{1,9}(kB|MB|GB)?$`), "a number and a unit, such as 64MB"}
)

func oneOf(words ...string) option {
	return option{regexp.MustCompile(`^(` + strings.Join(words, "|") + `)$`), list(words)}
}

// options are what may be said to the drivers. A driver has others that read
// files of the agent, or send what it knows elsewhere: a data source is set by who
// operates the cluster, and an agent is somebody else's.
var options = map[string]map[string]option{
	Postgres: {
		"application_name": word, "connect_timeout": seconds, "idle_in_transaction_session_timeout": millis, "lock_timeout": millis,
		"search_path": names, "statement_timeout": millis, "work_mem": size,
		"target_session_attrs":    oneOf("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
		"default_query_exec_mode": oneOf("cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"),
	},
	MySQL: {
		"charset": word, "collation": word, "timeout": span, "readTimeout": span, "writeTimeout": span, "maxAllowedPacket": number,
		"innodb_lock_wait_timeout": seconds, "lock_wait_timeout": number, "wait_timeout": number,
	},
	SQLite: {
		"busy_timeout": millis, "foreign_keys": oneOf("on", "off"), "journal_mode": oneOf("delete", "truncate", "persist", "memory", "wal", "off"),
		"synchronous": oneOf("off", "normal", "full", "extra"),
	},
}

// options checks the driver's options. It does not repeat their values.
func (c *checker) options() {
	known := options[c.s.Type]
	seen := map[string]bool{}
	for _, o := range c.s.Options {
		at := "options." + clip(o.Name)
		kind, ok := known[o.Name]
		switch {
		case slices.Contains([]string{"password", "passwd", "pass", "pwd"}, strings.ToLower(o.Name)):
			c.refuse(at, "a password is no option, and is never written here: say under password where the agent finds it, and change it if it was one that is in use")
		case !ok:
			all := optionsOf(c.s.Type)
			c.refuse(at, "%s has no such option%s: expected %s", c.s.Type, nearest.Hint(o.Name, all), list(all))
		case seen[o.Name]:
			c.refuse(at, "it is given twice: expected one value")
		case !kind.form.MatchString(o.Value):
			c.refuse(at, "expected %s", kind.expected)
		}
		seen[o.Name] = true
	}
}
