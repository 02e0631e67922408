package logstore

import (
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// openEngine opens the engine, and once more when it found a file without a
// byte: a process that is killed between making the file of a table in memory
// and giving it its size leaves one, and the engine gives it its size, then
// gives up because it had not expected to. By then it is an empty table.
func openEngine(dir string, logger *slog.Logger) (*badger.DB, error) {
	db, err := badger.Open(engineOptions(dir, logger))
	for tries := 0; err != nil && strings.Contains(err.Error(), unfinished) && tries < mostUnfinished; tries++ {
		logger.Warn("a file that a killed process had just begun is finished", "error", err)
		db, err = badger.Open(engineOptions(dir, logger))
	}
	return db, err
}

// unfinished is what the engine says then; it passes errors on as texts.
const unfinished = "Create a new file"

// mostUnfinished is how many such files are put up with: a table is made after
// the other, so there is one, or one for each time the process was killed at
// its start.
const mostUnfinished = 16
