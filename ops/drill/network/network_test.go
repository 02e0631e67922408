package network

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	there, status, err := Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if there {
		status = m.Run()
	}
	os.Exit(status)
}

// hears says whether a word from one host reaches another.
func hears(t *testing.T, n *Network, from, to string) bool {
	t.Helper()
	var ear, mouth net.Conn
	address := net.JoinHostPort(n.Address(to), "7000")
	must(t, n.Inside(to, func() error {
		l, err := net.ListenPacket("udp", address)
		if err == nil {
			ear = l.(*net.UDPConn)
		}
		return err
	}))
	defer ear.Close()
	must(t, n.Inside(from, func() (err error) {
		mouth, err = net.Dial("udp", address)
		return err
	}))
	defer mouth.Close()
	if _, err := mouth.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	must(t, ear.SetReadDeadline(time.Now().Add(150*time.Millisecond)))
	text := make([]byte, 10)
	got, _ := ear.Read(text)
	return string(text[:got]) == "hello"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCutsAreOfOneDirection(t *testing.T) {
	n, err := New("a", "b", "c")
	must(t, err)
	defer func() { must(t, n.Close()) }()
	all := n.names()
	check := func(when string, cut ...Way) {
		t.Helper()
		for _, w := range Ways(all, all) {
			want := true
			for _, c := range cut {
				want = want && c != w
			}
			if got := hears(t, n, w.From, w.To); got != want {
				t.Errorf("%s: %s hears %s: %t, want %t", when, w.To, w.From, got, want)
			}
		}
	}
	check("at first")
	one := Way{"a", "b"}
	must(t, n.Cut(one, one))
	check("one way", one)
	alone := Between([]string{"c"}, []string{"b", Here})
	must(t, n.Cut(alone...))
	must(t, n.Heal(one))
	check("c has only a", alone...)
	must(t, n.HealAll())
	check("healed")
	if err := n.Cut(Way{"a", "nowhere"}); err == nil || !strings.Contains(err.Error(), "expected two of a, b, c, here") {
		t.Errorf("a way to nowhere: %v", err)
	}
}

func TestCommandsRunOnTheirHost(t *testing.T) {
	n, err := New("a")
	must(t, err)
	defer func() { must(t, n.Close()) }()
	argv := append(n.Around("a"), "ip", "-o", "address")
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	must(t, err)
	if !strings.Contains(string(out), n.Address("a")+"/24") || strings.Contains(string(out), n.Address(Here)+"/24") {
		t.Errorf("addresses of host a:\n%s", out)
	}
}
