package node

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"backfleet/pkg/wire"
)

// What an attempt asks of its agent, what it may use there, and what its end
// means (RULES R7.7, R7.8, R9).

// Limits of what a node may ask for.
const (
	MaxRequires  = 32
	MaxSlots     = 1000
	MaxSecrets   = 200
	MaxMemory    = 1 << 50 // bytes
	MaxCPU       = 1024    // cores
	MaxProcesses = 1 << 22 // what Linux can number
	MaxOpenFiles = 1 << 20 // what Linux allows unless told otherwise
	MaxCore      = 1 << 40 // bytes
	MaxNice      = 19
)

// The least of these that a process can live with.
const (
	minMemory    = 1 << 20 // bytes
	minCPU       = 10      // thousandths of a core
	minOpenFiles = 16
)

var (
	labelForm = onUse(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$`)
	userForm  = onUse(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	bytesForm = onUse(`^([0-9]{1,18}(?:\.[0-9]{1,9})?)(B|KiB|MiB|GiB|TiB)$`)
	coresForm = onUse(`^[0-9]{1,9}(\.[0-9]{1,3})?$`)
)

// byteUnits are the powers of two of what a size may be counted in.
var byteUnits = map[string]uint{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}

var limitsShape = shape{fields: []field{
	{"memory", sizeField(func(n *wire.Node) *int64 { return &n.Limits.MemoryBytes })},
	{"cpu", (*document).cpu},
	{"processes", numberField(func(n *wire.Node) *int32 { return &n.Limits.Processes })},
	{"openFiles", numberField(func(n *wire.Node) *int32 { return &n.Limits.OpenFiles })},
	{"core", sizeField(func(n *wire.Node) *int64 { return &n.Limits.CoreBytes })},
	{"nice", numberField(func(n *wire.Node) *int32 { return &n.Limits.Nice })},
}}

// meanings are the words of wire.ExitCode_Meaning, in order of its numbers.
var meanings = []string{"retry", "fail", "skip"}

func (d *document) slots(v value) {
	s, ok := d.text(v)
	if !ok {
		return
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		d.refuse(v, "%q: expected a whole number from 1 to %d", clip(s), MaxSlots)
		return
	}
	d.node.Slots = uint32(n)
}

func (d *document) limits(v value) {
	d.node.Limits = &wire.Limits{}
	d.mapping(v, limitsShape)
}

// sizeField reads 512MiB or 1.5GiB, in whole bytes; 0 needs no unit.
func sizeField(of func(*wire.Node) *int64) func(*document, value) {
	return func(d *document, v value) {
		s, ok := d.text(v)
		if !ok || s == "0" {
			return
		}
		m := bytesForm().FindStringSubmatch(s)
		if m == nil {
			d.refuse(v, "%q: expected a number and a unit, such as 512MiB or 2GiB (B, KiB, MiB, GiB, TiB)", clip(s))
			return
		}
		size, _ := new(big.Rat).SetString(m[1])
		size.Mul(size, new(big.Rat).SetInt64(1<<byteUnits[m[2]]))
		if !size.IsInt() || !size.Num().IsInt64() {
			d.refuse(v, "%q: expected a whole number of bytes, less than 8 EiB", clip(s))
			return
		}
		*of(d.node) = size.Num().Int64()
	}
}

// cpu reads cores, to a thousandth: 2, 1.5 or 0.25.
func (d *document) cpu(v value) {
	s, ok := d.text(v)
	if !ok {
		return
	}
	if !coresForm().MatchString(s) {
		d.refuse(v, "%q: expected a number of cores, such as 2, 1.5 or 0.25", clip(s))
		return
	}
	whole, part, _ := strings.Cut(s, ".")
	milli, _ := strconv.ParseInt(whole+(part + "000")[:3], 10, 64)
	d.node.Limits.CpuMilli = int32(min(milli, 1<<30))
}

func (d *document) exitCodes(v value) {
	d.each(v, func(key string, at, v value) {
		d.at(v.path, v)
		code, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			d.refuse(at, "%q is no exit code: expected a whole number from 1 to 255", clip(key))
			return
		}
		if i, ok := d.word(v, meanings); ok {
			d.node.ExitCodes = append(d.node.ExitCodes, &wire.ExitCode{Code: int32(code), Meaning: wire.ExitCode_Meaning(i)})
		}
	})
}

// place checks where an attempt may run, and as whom.
func (c *checker) place() {
	s := c.spec
	if len(s.Requires) > MaxRequires {
		c.refuse("requires", "%d labels: expected at most %d", len(s.Requires), MaxRequires)
	}
	seen := map[string]bool{}
	for _, a := range s.Requires {
		at := "requires." + clip(a.Name)
		switch {
		case !labelForm().MatchString(a.Name):
			c.refuse(at, "%q is no name of a label: expected letters and digits, with . _ - and / between them, up to 128", clip(a.Name))
		case seen[a.Name]:
			c.refuse(at, "it is given twice: expected one value")
		default:
			c.label(at, a.Value)
		}
		seen[a.Name] = true
	}
	if s.Slots > MaxSlots {
		c.refuse("slots", "%d: expected 1 to %d", s.Slots, MaxSlots)
	}
	if s.User != "" && !userForm().MatchString(s.User) {
		c.refuse("user", "%q is no name of a user: expected a letter or _, then letters, digits, _, . and -, up to 32", clip(s.User))
	}
}

// limits checks bounds; 0 is none.
func (c *checker) limits() {
	l := c.spec.Limits
	bound := func(field string, n, least, most int64, show func(int64) string) {
		if n != 0 && (n < least || n > most) {
			c.refuse("limits."+field, "%s: expected %s to %s, or 0 for none", show(n), show(least), show(most))
		}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	cores := func(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }
	bound("memory", l.GetMemoryBytes(), minMemory, MaxMemory, sizeText)
	bound("cpu", int64(l.GetCpuMilli()), minCPU, MaxCPU*1000, cores)
	bound("processes", int64(l.GetProcesses()), 1, MaxProcesses, number)
	bound("openFiles", int64(l.GetOpenFiles()), minOpenFiles, MaxOpenFiles, number)
	bound("core", l.GetCoreBytes(), 1, MaxCore, sizeText)
	bound("nice", int64(l.GetNice()), 1, MaxNice, number)
}

// sizeText writes bytes in the largest unit that needs no fraction.
func sizeText(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := int64(1) << byteUnits[unit]; n != 0 && n%size == 0 {
			return fmt.Sprintf("%d%s", n/size, unit)
		}
	}
	return fmt.Sprintf("%dB", n)
}

func (c *checker) exitCodes() {
	seen := map[int32]bool{}
	for _, e := range c.spec.ExitCodes {
		at := fmt.Sprintf("exitCodes.%d", e.Code)
		_, known := wire.ExitCode_Meaning_name[int32(e.Meaning)]
		switch {
		case e.Code < 1 || e.Code > 255:
			c.refuse(at, "%d is no exit code that can be given a meaning: expected 1 to 255 (0 is success)", e.Code)
		case seen[e.Code]:
			c.refuse(at, "it is given twice: expected one meaning")
		case !known:
			c.refuse(at, "%d is no meaning of an exit code: expected %s", e.Meaning, list(meanings))
		}
		seen[e.Code] = true
	}
}

func (c *checker) secrets() {
	if n := len(c.spec.Secrets); n > MaxSecrets {
		c.refuse("secrets", "%d names: expected at most %d", n, MaxSecrets)
		return
	}
	seen := map[string]bool{}
	for i, name := range c.spec.Secrets {
		at := fmt.Sprintf("secrets[%d]", i)
		switch {
		case !variableForm().MatchString(name):
			c.refuse(at, "%q is no name: expected a letter or _, then letters, digits and _, up to 128", clip(name))
		case strings.HasPrefix(name, ReservedPrefix):
			c.refuse(at, "%q: what begins with %s is set by the agent and no secret: take it out", clip(name), ReservedPrefix)
		case seen[name]:
			c.refuse(at, "%q is listed twice: take one out", name)
		}
		seen[name] = true
	}
}

// inOrder gives what has no order of its own one, and takes out what says no
// more than its absence: specs that mean the same are the same.
func inOrder(s *wire.Node) {
	slices.SortFunc(s.Requires, byName)
	slices.SortFunc(s.ExitCodes, func(a, b *wire.ExitCode) int { return cmp.Compare(a.Code, b.Code) })
	slices.Sort(s.Secrets)
	if s.Slots == 1 {
		s.Slots = 0
	}
	if l := s.Limits; l != nil && l.MemoryBytes|l.CoreBytes == 0 && l.CpuMilli|l.Processes|l.OpenFiles|l.Nice == 0 {
		s.Limits = nil
	}
}

// Weight is how many slots of its resource group an attempt of a node takes,
// all at one agent (RULES R7.8).
func Weight(spec *wire.Node) uint32 { return max(1, spec.Slots) }

// Meaning is what an exit code means to a node (RULES R9).
func Meaning(spec *wire.Node, code int32) wire.ExitCode_Meaning {
	for _, e := range spec.ExitCodes {
		if e.Code == code {
			return e.Meaning
		}
	}
	return wire.ExitCode_RETRY
}

// LabelText writes labels for people: gpu=true, os=linux.
func LabelText(labels []*wire.Assignment) string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = l.Name + "=" + l.Value
	}
	return strings.Join(out, ", ")
}

// Labelled says whether labels are all that a node asks for, each with its
// exact value (RULES R7.7).
func Labelled(labels, requires []*wire.Assignment) bool {
	for _, want := range requires {
		if !slices.ContainsFunc(labels, func(l *wire.Assignment) bool { return l.Name == want.Name && l.Value == want.Value }) {
			return false
		}
	}
	return true
}
