// Package obs sets up what operators look at: structured logs, and Go's profiles.
package obs

import (
	"io"
	"log/slog"
	"os"

	"backfleet/pkg/fault"

	"golang.org/x/term"
)

// Formats of log output.
const (
	FormatAuto = "auto" // text on a terminal, JSON anywhere else
	FormatText = "text"
	FormatJSON = "json"
)

// LogConfig says how logs look. The zero value is info level on standard
// error in the format that fits it.
type LogConfig struct {
	Output io.Writer // default: os.Stderr
	Format string    // FormatAuto (default), FormatText or FormatJSON
	Level  string    // "debug", "info" (default), "warn" or "error"
}

// NewLogger makes the logger every part is handed. An unknown format or level
// is a fault.Invalid that names the flag's words.
func NewLogger(cfg LogConfig) (*slog.Logger, error) {
	if cfg.Output == nil {
		cfg.Output = os.Stderr
	}
	level := slog.LevelInfo
	if cfg.Level != "" {
		if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
			return nil, fault.Field("log-level", "%q is no level; expected debug, info, warn or error", cfg.Level)
		}
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case FormatText:
		return slog.New(slog.NewTextHandler(cfg.Output, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(cfg.Output, options)), nil
	case FormatAuto, "":
		if f, ok := cfg.Output.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return slog.New(slog.NewTextHandler(cfg.Output, options)), nil
		}
		return slog.New(slog.NewJSONHandler(cfg.Output, options)), nil
	default:
		return nil, fault.Field("log-format", "%q is no format; expected auto, text or json", cfg.Format)
	}
}

// Discard is a logger for those who were handed none.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
