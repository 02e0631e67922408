package cli

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"
)

// board is a directory of a test.
type board struct {
	at, ca string
	list   []presence.Member
	err    error
}

func (b *board) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&b.at, "etcd", "", "")
	f.StringVar(&b.ca, "etcd-ca", "", "")
}

func (b *board) Coordinators(context.Context) ([]presence.Member, bool, error) {
	if b.at == "" {
		return nil, false, nil
	}
	return b.list, true, b.err
}

func TestCoordinatorsAreFoundInTheDirectory(t *testing.T) {
	at := func(id, http string, term uint64) presence.Member {
		return presence.Member{Kind: presence.Coordinator, ID: id, Leader: term > 0, Term: term, Meta: map[string]string{"http": http}}
	}
	three := []presence.Member{at("c1", "http://127.0.0.1:1", 3), at("c2", "http://127.0.0.1:2", 4), at("c3", "https://h3:3", 0), at("c4", "http://h4:4", 0), at("c5", "", 0)}
	away := fault.New(fault.Unavailable, "etcd at h does not answer")
	const one = "http://127.0.0.1:8470"
	for _, x := range []struct {
		name, args, env string
		board           board
		want            string
		code            fault.Code
	}{
		{"no directory", "", "", board{list: three}, one, ""},
		{"the leader first", "--etcd h", "", board{list: three}, "http://127.0.0.1:2 http://127.0.0.1:1 https://h3:3 http://h4:4", ""},
		{"a token goes to no unproven host", "--etcd h --token-file x", "", board{list: three}, "http://127.0.0.1:2 http://127.0.0.1:1 https://h3:3", ""},
		{"by the environment", "", "BACKFLEET_ETCD=h", board{list: three[2:3]}, "https://h3:3", ""},
		{"--server goes before the environment", "--server http://s:1", "BACKFLEET_ETCD=h", board{list: three}, "http://s:1", ""},
		{"both flags", "--etcd h --server http://s:1,https://h3:3", "", board{list: three[2:3]}, "https://h3:3 http://s:1", ""},
		{"away", "--etcd h", "", board{err: away}, "", fault.Unavailable},
		{"away, --server stands in", "--etcd h --server http://s:1", "", board{err: away}, "http://s:1", ""},
		{"away, BACKFLEET_SERVER stands in", "--etcd h", "BACKFLEET_SERVER=http://s:2", board{err: away}, "http://s:2", ""},
		{"nobody there", "--etcd h", "", board{}, "", fault.Unavailable},
		{"wrong flags are no reason to go on", "--etcd h --server http://s:1", "", board{err: fault.Field("--etcd-ca", "missing")}, "", fault.Invalid},
	} {
		var errs bytes.Buffer
		getenv := func(name string) string {
			value, _ := strings.CutPrefix(x.env, name+"=")
			if value == x.env {
				return ""
			}
			return value
		}
		a := &app{Options: Options{Directory: &x.board, Getenv: getenv, Err: &errs, Now: time.Now}}
		var got []string
		var err error
		c := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
		k := a.connects(c)
		c.RunE = func(*cobra.Command, []string) error {
			got, err = k.find()
			return nil
		}
		c.SetArgs(strings.Fields(x.args))
		if e := c.ExecuteContext(t.Context()); e != nil {
			t.Fatal(e)
		}
		if fault.CodeOf(err) != x.code || !slices.Equal(got, strings.Fields(x.want)) {
			t.Errorf("%s: %q, %v; expected %q", x.name, got, err, x.want)
		}
		if strings.Contains(x.name, "stands in") != strings.Contains(errs.String(), "going on with --server") {
			t.Errorf("%s: said %q", x.name, errs.String())
		}
	}
}
