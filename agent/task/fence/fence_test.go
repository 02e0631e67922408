package fence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"backfleet/agent/task/database"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func shop(t *testing.T) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: database.SQLite, Database: filepath.Join(t.TempDir(), "shop.db")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE orders (ds text, writer integer)"); err != nil {
		t.Fatal(err)
	}
	return db
}

// overwrite is what an attempt does.
func overwrite(ctx context.Context, db *database.DB, part string, fence uint64) error {
	if err := Prepare(ctx, db); err != nil {
		return err
	}
	return db.Write(ctx, func(tx *database.Tx) error {
		if err := Claim(ctx, tx, "orders", part, By{Fence: fence, Instance: fmt.Sprintf("b1.%d", fence)}); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM orders WHERE ds = ?", part); err != nil {
			return err
		}
		_, err := tx.Insert(ctx, "orders", []string{"ds", "writer"}, [][]any{{part, int64(fence)}, {part, int64(fence)}})
		return err
	})
}

// writers are who wrote the rows of a partition.
func writers(t *testing.T, db *database.DB, part string) (list []int64) {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT writer FROM orders WHERE ds = ?", part)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, row[0].(int64))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestALateWriterIsRefused(t *testing.T) {
	db := shop(t)
	for _, c := range []struct {
		part  string
		fence uint64
		late  bool
		then  int64
	}{
		{"ds=1", 5, false, 5},
		{"ds=1", 5, false, 5}, // its own
		{"ds=1", 4, true, 5},
		{"ds=2", 4, false, 4}, // another partition
		{"ds=1", 9, false, 9},
		{"ds=1", 8, true, 9},
		{"ds=2", 3, true, 4},
	} {
		err := overwrite(t.Context(), db, c.part, c.fence)
		if fault.Is(err, fault.Conflict) != c.late || !c.late && err != nil {
			t.Errorf("%s, fence %d: %v", c.part, c.fence, err)
		}
		if c.late && !strings.Contains(err.Error(), fmt.Sprintf("a newer attempt (fence %d, instance b1.%d) has written partition %s of orders", c.then, c.then, c.part)) {
			t.Error(err)
		}
		if got := fmt.Sprint(writers(t, db, c.part)); got != fmt.Sprint([]int64{c.then, c.then}) {
			t.Errorf("%s after fence %d: rows of %s, want those of %d", c.part, c.fence, got, c.then)
		}
	}
}

func TestAFailedAttemptLeavesNoFence(t *testing.T) {
	db := shop(t)
	if err := Prepare(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	err := db.Write(t.Context(), func(tx *database.Tx) error {
		if err := Claim(t.Context(), tx, "orders", "ds=1", By{Fence: 9}); err != nil {
			t.Error(err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if err := overwrite(t.Context(), db, "ds=1", 5); err != nil {
		t.Error(err)
	}
}

// TestAtTheSameMoment has attempts of one partition write at once, in whatever
// order. The rows are always those of one, and in the end those of the newest.
func TestAtTheSameMoment(t *testing.T) {
	db := shop(t)
	const rounds, attempts = 20, 5
	for round := range rounds {
		part := fmt.Sprintf("ds=%d", round)
		var done sync.WaitGroup
		for i := range attempts {
			done.Go(func() {
				fence := uint64(10*round + i + 1)
				err := overwrite(t.Context(), db, part, fence)
				if newest := i == attempts-1; newest && err != nil || err != nil && !fault.Is(err, fault.Conflict) {
					t.Errorf("fence %d: %v", fence, err)
				}
			})
		}
		done.Wait()
		want := int64(10*round + attempts)
		if got := fmt.Sprint(writers(t, db, part)); got != fmt.Sprint([]int64{want, want}) {
			t.Errorf("%s: rows of %s, want those of %d", part, got, want)
		}
	}
}

func TestWhatIsNoClaim(t *testing.T) {
	db := shop(t)
	if err := Prepare(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, part string
		fence        uint64
		code         fault.Code
	}{
		{"", "p", 1, fault.Invalid}, {strings.Repeat("t", 256), "p", 1, fault.Invalid}, {"t", strings.Repeat("p", 256), 1, fault.TooLarge},
		{"t", "p", 0, fault.Invalid}, {"t", "p", 1 << 63, fault.Invalid}, {"t", "", 1, ""},
	} {
		err := db.Write(t.Context(), func(tx *database.Tx) error { return Claim(t.Context(), tx, c.target, c.part, By{Fence: c.fence}) })
		if fault.CodeOf(err) != c.code {
			t.Errorf("%.5s/%.5s, fence %d: %v, want %q", c.target, c.part, c.fence, err, c.code)
		}
	}
	other := shop(t)
	err := other.Write(t.Context(), func(tx *database.Tx) error { return Claim(t.Context(), tx, "t", "p", By{Fence: 1}) })
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), Table) {
		t.Errorf("without a ledger: %v", err)
	}
}

// TestThePatternOfSQL runs the statements of DESIGN.md.
func TestThePatternOfSQL(t *testing.T) {
	db := shop(t)
	blocks := patterns(t, "DESIGN.md", "sql")
	if _, err := db.ExecContext(t.Context(), blocks[0]); err != nil {
		t.Fatalf("%s: %v", blocks[0], err)
	}
	for _, c := range []struct {
		fence string
		late  bool
	}{{"5", false}, {"5", false}, {"4", true}, {"6", false}, {"5", true}} {
		text := strings.NewReplacer(":fence", c.fence, ":instance", "b1."+c.fence).Replace(blocks[2])
		if _, err := db.ExecContext(t.Context(), text); (err != nil) != c.late {
			t.Errorf("fence %s: %v", c.fence, err)
		}
	}
	// It is the same ledger.
	if err := overwrite(t.Context(), db, "ds=20251031", 5); !fault.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
}

// patterns are the blocks of code of a document.
func patterns(t *testing.T, path, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		blocks = append(blocks, block)
	}
	return blocks
}

func TestALateRenameIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ds=20251031")
	for _, c := range []struct {
		fence uint64
		late  bool
	}{{5, false}, {5, false}, {4, true}, {12345678901, false}, {6, true}, {12345678902, false}} {
		release, err := ClaimFolder(path+"/", By{Fence: c.fence, Instance: "b1.2"})
		if fault.Is(err, fault.Conflict) != c.late || !c.late && err != nil {
			t.Errorf("fence %d: %v", c.fence, err)
		}
		if err == nil {
			if err := errors.Join(release(), release()); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := ClaimFolder(path, By{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a fence: %v", err)
	}
	if _, err := ClaimFolder(filepath.Join(path, "none", "x"), By{Fence: 1}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".ds=20251031.fence"), []byte("what?"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ClaimFolder(path, By{Fence: 99}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestRenamesAtTheSameMoment also takes the fence file away meanwhile: the lock
// is never that of a file which is not there.
func TestRenamesAtTheSameMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders")
	var inside sync.Mutex
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			for range 25 {
				release, err := ClaimFolder(path, By{Fence: 7})
				if err != nil {
					t.Error(err)
					return
				}
				if !inside.TryLock() {
					t.Error("two are inside")
					return
				}
				if i == 0 {
					if err := os.Remove(filepath.Join(filepath.Dir(path), ".orders.fence")); err != nil {
						t.Error(err)
					}
				}
				inside.Unlock()
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
}

// TestThePatternOfShell runs the script of DESIGN.md, in turn with ours.
func TestThePatternOfShell(t *testing.T) {
	folder := t.TempDir()
	script := filepath.Join(folder, "replace.sh")
	if err := os.WriteFile(script, []byte(patterns(t, "DESIGN.md", "sh")[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "ds=20251031")
	for _, c := range []struct {
		fence uint64
		late  bool
		then  string
	}{{5, false, "5"}, {4, true, "5"}, {5, false, "5"}, {9, false, "9"}, {8, true, "9"}} {
		fresh := filepath.Join(folder, fmt.Sprintf("new.%d", c.fence))
		if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o755), os.WriteFile(filepath.Join(fresh, "rows"), fmt.Append(nil, c.fence), 0o644)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", script, path, fresh)
		cmd.Env = append(os.Environ(), fmt.Sprintf("BACKFLEET_FENCE=%d", c.fence), "BACKFLEET_INSTANCE=b1.2")
		out, err := cmd.CombinedOutput()
		if (err != nil) != c.late {
			t.Errorf("fence %d: %v: %s", c.fence, err, out)
		}
		if rows, err := os.ReadFile(filepath.Join(path, "rows")); err != nil || string(rows) != c.then {
			t.Errorf("after fence %d: %s, %v, want %s", c.fence, rows, err, c.then)
		}
	}
	if _, err := ClaimFolder(path, By{Fence: 8}); !fault.Is(err, fault.Conflict) {
		t.Errorf("after the script: %v", err)
	}
	release, err := ClaimFolder(path, By{Fence: 12})
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", script, path, path)
	cmd.Env = append(os.Environ(), "BACKFLEET_FENCE=11", "BACKFLEET_INSTANCE=b1.2")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "fence 12") {
		t.Errorf("the script after ours: %v: %s", err, out)
	}
}
