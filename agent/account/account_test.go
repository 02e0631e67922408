package account

import (
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/pkg/fault"
)

func TestOnesOwnAccountNeedsNoRights(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var c Cache
	a, err := c.Find(me.Username)
	if err != nil {
		t.Fatal(err)
	}
	if int(a.UID) != os.Getuid() || a.Home != me.HomeDir || a.Name != me.Username {
		t.Errorf("got %+v, want %+v", a, me)
	}
	if rights, err := a.Credential(); rights != nil || err != nil {
		t.Errorf("got %v (%v), want nothing to do", rights, err)
	}
	if again, _ := c.Find(me.Username); again != a {
		t.Error("it was looked up twice in a moment")
	}
}

func TestAnotherAccountNeedsThem(t *testing.T) {
	a := &Account{Name: "other", UID: 54321, GID: 54322, Groups: []uint32{54322, 7}}
	rights, err := a.Credential()
	if lacks := missing(); len(lacks) > 0 {
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), lacks[0]) || !strings.Contains(err.Error(), `"other"`) {
			t.Errorf("%v: want the user, and what is missing: %v", err, lacks)
		}
		return
	}
	if err != nil || rights.Uid != a.UID || rights.Gid != a.GID || !slices.Equal(rights.Groups, a.Groups) {
		t.Errorf("got %+v (%v), want the account's numbers", rights, err)
	}
}

func TestAnAccountWithTheRightsOfRootIsRootOrNothing(t *testing.T) {
	_, err := build("toor", "0", "0", "/", nil)
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "toor") {
		t.Errorf("%v: want it refused by name", err)
	}
	if a, err := build("root", "0", "0", "/root", []string{"0"}); err != nil || a.UID != 0 {
		t.Errorf("got %+v (%v)", a, err)
	}
}

func TestAnUnknownAccountIsNamedAndAskedForAgain(t *testing.T) {
	var c Cache
	_, err := c.Find("nobody-has-this-name")
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "nobody-has-this-name") {
		t.Fatalf("%v: want it unknown, by name", err)
	}
	e := c.known("nobody-has-this-name")
	if e == nil {
		t.Fatal("it is asked for at once again")
	}
	e.fresh = time.Now().Add(-time.Second)
	if c.known("nobody-has-this-name") != nil {
		t.Error("a failure is believed for ever")
	}
}

func TestWhatWasFoundLongAgoIsGivenAtOnceAndAskedForBeside(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	old := &Account{Name: me.Username, UID: 99999}
	c := Cache{found: map[string]*entry{me.Username: {account: old, fresh: time.Now().Add(-time.Second)}}}
	if a, err := c.Find(me.Username); a != old || err != nil {
		t.Fatalf("got %+v (%v), want what was known", a, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		if a, err := c.Find(me.Username); err == nil && a.UID == uint32(syscall.Getuid()) {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the new answer was not there within 20 s")
		}
	}
}
