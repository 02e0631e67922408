package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"backfleet/api/cli/requestfile"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// read gives the requests that are meant: those of the files with the flags over
// them, or that of the flags alone, which has no name.
func (o *requestOptions) read(ctx context.Context, cl *client.Client) ([]*requestfile.File, error) {
	if len(o.files) == 0 {
		r, err := o.build(ctx, cl)
		return []*requestfile.File{{Request: r}}, err
	}
	files, err := o.readFiles()
	if err != nil {
		return nil, err
	}
	if len(files) > 1 && o.changed("name") {
		return nil, fault.Field("--name", "%d requests were read: expected one, or the field name in each", len(files))
	}
	for _, f := range files {
		if err := o.over(&f.Request); err != nil {
			return nil, err
		}
		f.Request = requestfile.Normal(f.Request) // what means the same is the same request, also to a key
	}
	return files, nil
}

// readFiles reads all files, and tells what is wrong with any of them.
func (o *requestOptions) readFiles() ([]*requestfile.File, error) {
	var all []*requestfile.File
	var wrong []fault.Detail
	read := func(name string, in io.Reader) error {
		data, err := io.ReadAll(io.LimitReader(in, 4<<20))
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "%s cannot be read", name)
		}
		files, err := requestfile.Read(name, data)
		all = append(all, files...)
		var e *fault.Error
		switch {
		case errors.As(err, &e) && len(e.Details) > 0:
			wrong = append(wrong, e.Details...)
		case err != nil && errors.As(err, &e):
			wrong = append(wrong, fault.Detail{Message: e.Message})
		}
		return nil
	}
	for _, path := range o.files {
		if path == "-" {
			if err := read("standard input", o.app.In); err != nil {
				return nil, err
			}
			continue
		}
		names, err := requestFiles(path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			in, err := os.Open(name)
			if err == nil {
				err = read(name, in)
				in.Close()
			}
			if err != nil {
				return nil, fault.Wrap(err, fault.Invalid, "%s cannot be read", name)
			}
		}
	}
	if len(wrong) > 0 {
		what := "the request is not as it is to be"
		if len(wrong) > 1 {
			what = "the requests are not as they are to be"
		}
		return nil, fault.New(fault.Invalid, "%s", what).WithDetails(wrong...)
	}
	return all, nil
}

// requestFiles is a file, or what a folder holds of *.yaml and *.yml, in lexical
// order; names that begin with a dot are passed over.
func requestFiles(path string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && (filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".yml" || name == path):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fault.Field("--file", "%s cannot be read: expected a request file, a folder of them, or - for standard input", path)
	}
	if len(names) == 0 {
		return nil, fault.Field("--file", "%s holds no *.yaml", path)
	}
	return names, nil
}

// named adds the file to warnings about its request.
func named(f *requestfile.File, list []v1.Warning) []v1.Warning {
	var out []v1.Warning
	for _, w := range list {
		if w.Where == "" {
			w.Where = f.Name
		}
		out = append(out, w)
	}
	return out
}
