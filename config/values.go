package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"erluv/label"

	"erluv/control"
)

// The functions here parse one value. Their errors follow the value in a message. They say why it
// is wrong, and never repeat it, because it may be a cookie.

// maxAtom is the longest atom in characters, and so the longest node name and cookie: External Term
// Format, ATOM_UTF8_EXT.
const maxAtom = 255

var errEmpty = errors.New("is empty")

// errUnknown is the error of a value that only the key's Right can explain.
var errUnknown = errors.New("is unknown")

// checkNode accepts the names that erl accepts for -sname and -name.
func checkNode(v string) error {
	name, host, found := strings.Cut(v, "@")
	switch {
	case v == "":
		return errEmpty
	case !found:
		return errors.New("has no @host")
	case checkName(name) != nil:
		return errors.New("has no legal name before the @")
	case checkHost(host) != nil:
		return errors.New("has no legal host after the @")
	case host == control.Host:
		return errors.New("has a host that is the control socket's alone")
	case len(v) > maxAtom:
		return errTooLong
	}
	return nil
}

var errTooLong = fmt.Errorf("is longer than %d characters", maxAtom)

// checkName accepts the names that net_kernel accepts before the @ (kernel/src/net_kernel.erl,
// valid_name_head): ^[0-9A-Za-z_\-]+$.
func checkName(v string) error {
	if v == "" {
		return errEmpty
	}
	for _, r := range v {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r == '-':
		default:
			return fmt.Errorf("has %q in it", r)
		}
	}
	if len(v) > maxAtom-drawnDigits-len("@h") {
		return errors.New("is too long for a node name")
	}
	return nil
}

// checkHost accepts visible ASCII, as net_kernel does. A second @, a slash or a backslash cannot be
// in a host.
func checkHost(v string) error {
	if v == "" {
		return errEmpty
	}
	for _, r := range v {
		if r <= ' ' || r > '~' || strings.ContainsRune(`@/\"'`, r) {
			return fmt.Errorf("has %q in it", r)
		}
	}
	if len(v) > maxAtom-len("n@") {
		return errTooLong
	}
	return nil
}

// checkCookie accepts the cookies that auth.erl accepts from a cookie file.
func checkCookie(v string) error {
	if v == "" {
		return errEmpty
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return errors.New("has other characters than those from space to ~")
		}
	}
	if len(v) > maxAtom {
		return errTooLong
	}
	return nil
}

func checkAddress(v string) error {
	host, port, err := net.SplitHostPort(v)
	switch {
	case v == "":
		return errEmpty
	case err != nil:
		return errors.New("is not host:port")
	case checkHost(host) != nil:
		return errors.New("has no host before the port")
	}
	if _, err := parseInt(port, 1, 65535); err != nil {
		return fmt.Errorf("has a port that %w", err)
	}
	return nil
}

// checkAtom accepts any registered name.
func checkAtom(v string) error {
	switch {
	case v == "":
		return errEmpty
	case !utf8.ValidString(v):
		return errors.New("is not UTF-8")
	case utf8.RuneCountInString(v) > maxAtom:
		return errTooLong
	}
	return nil
}

// checkAccount refuses names that cannot be in a user or group database. Whether the name exists is
// checked when all values are known.
func checkAccount(v string) error {
	switch {
	case v == "":
		return errEmpty
	case strings.ContainsAny(v, ":,/\n\x00 "):
		return errors.New("is no name of a user or group")
	}
	return nil
}

func parseInt(v string, low, high int) (int, error) {
	n, err := strconv.Atoi(v)
	switch {
	case v == "":
		return 0, errEmpty
	case errors.Is(err, strconv.ErrRange), err == nil && (n < low || n > high):
		return 0, fmt.Errorf("is not from %d to %d", low, high)
	case err != nil || strings.HasPrefix(v, "+"):
		return 0, errors.New("is no number")
	}
	return n, nil
}

func parseDuration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	switch {
	case v == "":
		return 0, errEmpty
	case err != nil:
		return 0, errors.New("is no duration")
	case d <= 0:
		return 0, errors.New("is not above 0")
	}
	return d, nil
}

func parseBool(v string) (bool, error) {
	switch v {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "":
		return false, errEmpty
	}
	return false, errUnknown
}

// LevelTrace is the level trace of log_level. It is below debug, as slog counts.
const LevelTrace = slog.LevelDebug - 4

func parseLevel(v string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"trace": LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, found := levels[v]
	switch {
	case v == "":
		return 0, errEmpty
	case !found:
		return 0, errUnknown
	}
	return level, nil
}

func parsePath(v string) ([]string, error) {
	if v == "" {
		return nil, errEmpty
	}
	dirs := filepath.SplitList(v)
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("has %q in it, which is not absolute", dir)
		}
	}
	return dirs, nil
}

func oneOf(v string, words ...string) error {
	switch {
	case v == "":
		return errEmpty
	case !slices.Contains(words, v):
		return errUnknown
	}
	return nil
}

// checkMeta accepts labels.
func checkMeta(v string) error {
	if v == "" {
		return errEmpty
	}
	_, err := label.Parse(v)
	return err
}
