package node_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// TestR7_7_R7_8_R9_ReadRefuses: what a file may say of labels, slots, limits,
// exit codes and secrets.
func TestR7_7_R7_8_R9_ReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"requires: [gpu]":                `requires: a list: expected a mapping (name: value)`,
		"requires: {'-x': 1}":            `requires.-x: "-x" is no name of a label: expected letters and digits, with . _ - and / between them, up to 128`,
		"requires: {gpu: ' a'}":          `requires.gpu: " a": expected one line without blanks around it`,
		"requires: {gpu: 1, gpu: 2}":     `requires.gpu: it is given twice: expected one value`,
		"slots: 0":                       `slots: "0": expected a whole number from 1 to 1000`,
		"slots: 1001":                    `slots: 1001: expected 1 to 1000`,
		"slots: -1":                      `slots: "-1": expected a whole number from 1 to 1000`,
		"user: a b":                      `user: "a b" is no name of a user: expected a letter or _, then letters, digits, _, . and -, up to 32`,
		"limits: 2GiB":                   `limits: "2GiB": expected a mapping (name: value)`,
		"limits: {disk: 1GiB}":           `limits.disk: there is no such field: expected memory, cpu, processes, openFiles, core or nice`,
		"limits: {memory: 2GB}":          `limits.memory: "2GB": expected a number and a unit, such as 512MiB or 2GiB (B, KiB, MiB, GiB, TiB)`,
		"limits: {memory: 0.3B}":         `limits.memory: "0.3B": expected a whole number of bytes, less than 8 EiB`,
		"limits: {memory: 99999999TiB}":  `limits.memory: "99999999TiB": expected a whole number of bytes, less than 8 EiB`,
		"limits: {memory: 1KiB}":         `limits.memory: 1KiB: expected 1MiB to 1024TiB, or 0 for none`,
		"limits: {core: 2TiB}":           `limits.core: 2TiB: expected 1B to 1TiB, or 0 for none`,
		"limits: {cpu: 0.001}":           `limits.cpu: 0.001: expected 0.01 to 1024, or 0 for none`,
		"limits: {cpu: 999999999}":       `limits.cpu: 1073741.824: expected 0.01 to 1024, or 0 for none`,
		"limits: {cpu: 1.2345}":          `limits.cpu: "1.2345": expected a number of cores, such as 2, 1.5 or 0.25`,
		"limits: {processes: -1}":        `limits.processes: -1: expected 1 to 4194304, or 0 for none`,
		"limits: {openFiles: 3}":         `limits.openFiles: 3: expected 16 to 1048576, or 0 for none`,
		"limits: {nice: 20}":             `limits.nice: 20: expected 1 to 19, or 0 for none`,
		"limits: {nice: -1}":             `limits.nice: -1: expected 1 to 19, or 0 for none`,
		"exitCodes: {0: skip}":           `exitCodes.0: 0 is no exit code that can be given a meaning: expected 1 to 255 (0 is success)`,
		"exitCodes: {256: skip}":         `exitCodes.256: 256 is no exit code that can be given a meaning: expected 1 to 255 (0 is success)`,
		"exitCodes: {one: skip}":         `exitCodes.one: "one" is no exit code: expected a whole number from 1 to 255`,
		"exitCodes: {1: skipp}":          `exitCodes.1: "skipp" (did you mean "skip"?): expected retry, fail or skip`,
		"exitCodes: {1: skip, 01: fail}": `exitCodes.1: it is given twice: expected one meaning`,
		"secrets: DB":                    `secrets: "DB": expected a list of names of variables`,
		"secrets: [A, 1B]":               `secrets[1]: "1B" is no name: expected a letter or _, then letters, digits and _, up to 128`,
		"secrets: [A, A]":                `secrets[1]: "A" is listed twice: take one out`,
		"secrets: [BACKFLEET_FENCE]":     `secrets[0]: "BACKFLEET_FENCE": what begins with BACKFLEET_ is set by the agent and no secret: take it out`,
	} {
		_, _, err := node.Read(folder("a.yaml", "id: a\ncode: x\n"+text+"\n"), ".", node.Options{})
		if err == nil {
			t.Errorf("%s is taken", text)
			continue
		}
		got := findings(t, err)
		if place := "a.yaml:3:"; len(got) < len(place)+3 || got[:len(place)] != place {
			t.Errorf("%s: %q does not name its line", text, got)
			continue
		}
		for got[0] != ' ' { // where it stands
			got = got[1:]
		}
		if got[1:] != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got[1:], want)
		}
	}
}

// TestR7_8_WhatMeansTheSameIsTheSame: a node that asks for nothing of it is what
// it was before there was anything to ask for, byte by byte, and what has no
// order is kept in one.
func TestR7_8_WhatMeansTheSameIsTheSame(t *testing.T) {
	compiled := func(s *wire.Node) *wire.Node {
		t.Helper()
		n, _, err := node.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := node.Compile(n.Spec)
		if err != nil || !proto.Equal(again.Spec, n.Spec) {
			t.Errorf("%v compiles to %v: %v", n.Spec, again, err)
		}
		return n.Spec
	}
	plain := compiled(spec("a"))
	one := spec("a")
	one.Slots, one.Limits = 1, &wire.Limits{}
	if got := compiled(one); !proto.Equal(got, plain) || got.Limits != nil {
		t.Errorf("got %v, want %v", got, plain)
	}
	if node.Weight(plain) != 1 {
		t.Errorf("it weighs %d", node.Weight(plain))
	}
	label := func(name string) *wire.Assignment { return &wire.Assignment{Name: name, Value: "v"} }
	a, b := spec("a"), spec("a")
	a.Requires, b.Requires = []*wire.Assignment{label("x"), label("b"), label("c")}, []*wire.Assignment{label("c"), label("x"), label("b")}
	a.Secrets, b.Secrets = []string{"Z", "Y"}, []string{"Y", "Z"}
	a.ExitCodes, b.ExitCodes = []*wire.ExitCode{{Code: 9}, {Code: 3}}, []*wire.ExitCode{{Code: 3}, {Code: 9}}
	if x, y := compiled(a), compiled(b); !proto.Equal(x, y) {
		t.Errorf("%v differs from %v", x, y)
	}
}

// TestR9_CompileRefusesNumbersWithoutAName, which no file can hold.
func TestR9_CompileRefusesNumbersWithoutAName(t *testing.T) {
	for want, with := range map[string]*wire.Node{
		`exitCodes.3: 7 is no meaning of an exit code: expected retry, fail or skip`: {ExitCodes: []*wire.ExitCode{{Code: 3, Meaning: 7}}},
		`limits.memory: -1B: expected 1MiB to 1024TiB, or 0 for none`:                {Limits: &wire.Limits{MemoryBytes: -1}},
		`limits.core: -1B: expected 1B to 1TiB, or 0 for none`:                       {Limits: &wire.Limits{CoreBytes: -1}},
		`limits.cpu: -0.5: expected 0.01 to 1024, or 0 for none`:                     {Limits: &wire.Limits{CpuMilli: -500}},
	} {
		with.Id, with.Code = "a", "true"
		_, _, err := node.Compile(with)
		if err == nil {
			t.Errorf("%v is taken", with)
		} else if got := findings(t, err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestR7_7_Labelled: all of them, each with its exact value.
func TestR7_7_Labelled(t *testing.T) {
	label := func(name, value string) *wire.Assignment { return &wire.Assignment{Name: name, Value: value} }
	has := []*wire.Assignment{label("os", "linux"), label("gpu", "true")}
	for _, c := range []struct {
		requires []*wire.Assignment
		want     bool
	}{
		{nil, true},
		{[]*wire.Assignment{label("gpu", "true")}, true},
		{[]*wire.Assignment{label("gpu", "true"), label("os", "linux")}, true},
		{[]*wire.Assignment{label("gpu", "TRUE")}, false},
		{[]*wire.Assignment{label("gpu", "true"), label("zone", "a")}, false},
	} {
		if got := node.Labelled(has, c.requires); got != c.want {
			t.Errorf("%v: %v", c.requires, got)
		}
	}
}
