// Package bridge lets libraries of HashiCorp log like everything else.
package bridge

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// HCLog lets a library that speaks hclog write to l. Levels map one to one
// (trace lies below debug); the name becomes the attribute "component".
func HCLog(l *slog.Logger, name string) hclog.Logger {
	return &bridge{root: l, name: name}
}

type bridge struct {
	root *slog.Logger
	name string
	args []any
}

const levelTrace = slog.LevelDebug - 4

func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Trace:
		return levelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

func (b *bridge) Log(level hclog.Level, msg string, args ...any) {
	if level == hclog.Off || !b.enabled(level) {
		return
	}
	attrs := make([]any, 0, 2+len(b.args)+len(args))
	if b.name != "" {
		attrs = append(attrs, "component", b.name)
	}
	attrs = append(append(attrs, b.args...), args...)
	for i, a := range attrs {
		// hclog formats lazily; slog would print the slice behind it.
		if f, ok := a.(hclog.Format); ok {
			attrs[i] = fmt.Sprintf(f[0].(string), f[1:]...)
		}
	}
	b.root.Log(context.Background(), slogLevel(level), msg, attrs...)
}

func (b *bridge) enabled(level hclog.Level) bool {
	return b.root.Enabled(context.Background(), slogLevel(level))
}

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }
func (b *bridge) IsTrace() bool                 { return b.enabled(hclog.Trace) }
func (b *bridge) IsDebug() bool                 { return b.enabled(hclog.Debug) }
func (b *bridge) IsInfo() bool                  { return b.enabled(hclog.Info) }
func (b *bridge) IsWarn() bool                  { return b.enabled(hclog.Warn) }
func (b *bridge) IsError() bool                 { return b.enabled(hclog.Error) }
func (b *bridge) ImpliedArgs() []any            { return b.args }
func (b *bridge) Name() string                  { return b.name }

func (b *bridge) With(args ...any) hclog.Logger {
	all := append(append([]any(nil), b.args...), args...)
	return &bridge{root: b.root, name: b.name, args: all}
}

func (b *bridge) Named(name string) hclog.Logger {
	if b.name != "" {
		name = b.name + "." + name
	}
	return b.ResetNamed(name)
}

func (b *bridge) ResetNamed(name string) hclog.Logger {
	return &bridge{root: b.root, name: name, args: b.args}
}

// SetLevel does nothing: the level belongs to the slog handler.
func (b *bridge) SetLevel(hclog.Level) {}

func (b *bridge) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if b.enabled(level) {
			return level
		}
	}
	return hclog.Off
}

func (b *bridge) StandardLogger(opts *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(b.StandardWriter(opts), "", 0)
}

func (b *bridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return lines{b} }

// lines turns each line written by a standard logger into an info record.
type lines struct{ b *bridge }

func (w lines) Write(p []byte) (int, error) {
	w.b.Info(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
