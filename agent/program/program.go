// Package program finds programs along the PATH of attempts, which is not that
// of this process.
package program

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Find gives the file of a program along a PATH. A name with a slash is that
// file, whether it exists or not.
func Find(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); Executable(file) {
			return file, nil
		}
	}
	return "", &fs.PathError{Op: "find", Path: name, Err: errors.New("no such program along PATH=" + path)}
}

// Executable says whether there is a file that somebody may execute.
func Executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
