package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Generation remembers the newest generation of the cluster that an agent has
// served, in a file: work of an older one must not run beside that of the newer.
type Generation struct {
	path string
	mu   sync.Mutex
	now  uint64
}

// OpenGeneration reads what is remembered in an agent's data folder.
func OpenGeneration(dir string) (*Generation, error) {
	g := &Generation{path: filepath.Join(dir, "generation")}
	text, err := os.ReadFile(g.path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		g.now, err = strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Corrupt, "%s cannot be read: it says which cluster this agent has served; give it an empty data folder", g.path)
	}
	return g, nil
}

// Newest is the newest that was served; 0: none.
func (g *Generation) Newest() uint64 {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// Serve remembers the generation of a leader before anything of it runs, or
// refuses (fault.Conflict) one that the agent must not serve.
func (g *Generation) Serve(of uint64) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case of == g.now:
		return nil
	case g.now != 0 && !wire.Newer(of, g.now):
		return fault.New(fault.Conflict, "it is of generation %s, and this agent has served %s: the coordinator is of a cluster that was recovered or restored since and is to be stopped, or of another cluster, for which the agent needs a data folder of its own",
			wire.GenerationText(of), wire.GenerationText(g.now))
	}
	if err := g.write(of); err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot be written", g.path)
	}
	g.now = of
	return nil
}

func (g *Generation) write(of uint64) error {
	file, err := os.OpenFile(g.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.WriteString(strconv.FormatUint(of, 16) + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(g.path+".new", g.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(g.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
