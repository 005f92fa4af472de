package journald

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Stream is the variable in which systemd names the journal's stream: DEVICE:INODE
// (systemd.exec(5)).
const Stream = "JOURNAL_STREAM"

const (
	// socket is the socket on which the journal accepts datagrams.
	socket = "/run/systemd/journal/socket"

	// prefix begins the names of the fields of attributes.
	prefix = "ERLUV_"

	// maxName is the longest field name that the journal accepts, in bytes.
	maxName = 64

	// maxFields bounds the attributes of a line that become fields.
	maxFields = 32

	// maxDatagram bounds a line, in bytes. A longer one goes to standard error. The usual buffer of
	// a socket has room for one of 200 KiB.
	maxDatagram = 64 << 10
)

// Is reports whether a descriptor is the stream that a value of Stream names.
func Is(fd int, stream string) bool {
	var st unix.Stat_t
	return stream != "" && eintr.Fstat(fd, &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// Handler sends records to the journal.
type Handler struct {
	fd      int
	to      unix.SockaddrUnix
	message *message
	json    bool
	text    slog.Handler // writes to message
	instead slog.Handler // gets the lines that the socket refuses
	name    string       // what is before the names of attributes
	fields  []field
}

type field struct{ name, value string }

// message is the buffer of the text handler. mu guards it.
type message struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// New returns a handler. Its messages have the text of a line, and the attributes as slog's text
// handler writes them. With json a message is the whole line as slog's JSON handler writes it with the
// options. Lines that the journal refuses go to instead. The socket lives as long as the process.
func New(json bool, options slog.HandlerOptions, instead slog.Handler) (*Handler, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for the journal: %w", err)
	}
	h := &Handler{fd: fd, to: unix.SockaddrUnix{Name: socket}, message: &message{}, json: json, instead: instead}
	if json {
		h.text = slog.NewJSONHandler(&h.message.buf, &options)
	} else {
		options.ReplaceAttr = attributesOnly
		h.text = slog.NewTextHandler(&h.message.buf, &options)
	}
	return h, nil
}

// attributesOnly leaves out the text, and values that have fields of their own in the journal.
func attributesOnly(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Enabled: see slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.instead.Enabled(ctx, level)
}

// Handle sends a record.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	h.message.mu.Lock()
	h.message.buf.Reset()
	err := h.text.Handle(ctx, r)
	line := strings.TrimSuffix(h.message.buf.String(), "\n")
	h.message.mu.Unlock()
	if !h.json {
		line = strings.TrimSuffix(r.Message+" "+line, " ")
	}
	datagram := h.datagram(line, r)
	if len(datagram) > maxDatagram {
		err = unix.EMSGSIZE
	}
	if err == nil {
		// It never waits: a journal that has no room for a datagram may read its stream.
		err = eintr.Sendto(h.fd, datagram, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, &h.to)
	}
	if err != nil {
		return h.instead.Handle(ctx, r)
	}
	return nil
}

// datagram returns a line in the journal's form.
func (h *Handler) datagram(line string, r slog.Record) []byte {
	fields := h.fields[:len(h.fields):len(h.fields)]
	r.Attrs(func(a slog.Attr) bool {
		fields = appendField(fields, h.name, a)
		return true
	})
	b := appendText(nil, "MESSAGE", line)
	b = fmt.Appendf(b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=erluv\n", priority(r.Level))
	hasRole := false
	for _, f := range fields[:min(len(fields), maxFields)] {
		hasRole = hasRole || f.name == prefix+"ROLE"
		b = appendText(b, f.name, f.value)
	}
	if !hasRole {
		b = appendText(b, prefix+"ROLE", "main")
	}
	return b
}

// appendText appends a field. A value of several lines has its length before it.
func appendText(b []byte, name, value string) []byte {
	b = append(b, name...)
	if strings.Contains(value, "\n") {
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	} else {
		b = append(b, '=')
	}
	return append(append(b, value...), '\n')
}

// priority returns a level as a number of syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

func appendField(list []field, before string, a slog.Attr) []field {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			before += a.Key + "_"
		}
		for _, a := range v.Group() {
			list = appendField(list, before, a)
		}
		return list
	}
	if a.Key == "" {
		return list
	}
	return append(list, field{nameOf(before + a.Key), v.String()})
}

// nameOf returns an attribute's name in a form that the journal accepts.
func nameOf(key string) string {
	name := prefix + strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
	return name[:min(len(name), maxName)]
}

// WithAttrs: see slog.Handler.
func (h *Handler) WithAttrs(list []slog.Attr) slog.Handler {
	with := *h
	with.text, with.instead = h.text.WithAttrs(list), h.instead.WithAttrs(list)
	with.fields = h.fields[:len(h.fields):len(h.fields)]
	for _, a := range list {
		with.fields = appendField(with.fields, h.name, a)
	}
	return &with
}

// WithGroup: see slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.text, with.instead, with.name = h.text.WithGroup(name), h.instead.WithGroup(name), h.name+name+"_"
	return &with
}
