// Package journald writes the log of erluv to systemd's journal, by its native protocol.
//
// It is a slog.Handler: each record becomes one datagram with a message, a priority and a field for
// each attribute, so that journalctl can select by them (systemd.journal-fields(7)). The protocol
// is described at https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
//
// The handler is used only if standard error is the journal's stream already. What the socket does
// not take goes there as text, so no line is lost. The package decides neither what is logged nor
// how a line reads: cmd/erluv does.
package journald
