// Package journald writes the log of erluv to systemd's journal, by its native protocol.
//
// It is a slog.Handler. Each record becomes one datagram with a message, a priority and a field for
// each attribute, so journalctl can select by them (systemd.journal-fields(7)). The protocol
// is described at https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
//
// The handler is used only if standard error is the journal's stream already. Lines that the socket
// refuses go there as text, so no line is lost. The caller, cmd/erluv, decides which lines there are.
package journald
