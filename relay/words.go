package relay

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// certError explains what is wrong with the node's certificate.
type certError struct {
	cert *x509.Certificate
	name string // the wanted name
	err  error
}

func (e certError) Unwrap() error { return e.err }

func (e certError) Error() string {
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(e.err, &host):
		return fmt.Sprintf("the node's certificate is for %s, not for %s: give the node one that names %s in its subjectAltName, "+
			"or set tls_server_name (server_name_indication) to a name that it has", names(e.cert), e.name, e.name)
	case errors.As(e.err, &unknown):
		return fmt.Sprintf("the node's certificate, issued by %q, is signed by none of the authorities in tls_ca (cacertfile)", e.cert.Issuer.String())
	case errors.As(e.err, &invalid) && invalid.Reason == x509.Expired:
		// Also for an authority's certificate, and for one that is not valid yet.
		now, c := time.Now(), invalid.Cert
		if now.Before(c.NotBefore) {
			return fmt.Sprintf("the certificate of %q is not valid before %s, and the clock here shows %s", c.Subject.String(), date(c.NotBefore), date(now))
		}
		return fmt.Sprintf("the certificate of %q has expired: it was valid until %s, and the clock here shows %s", c.Subject.String(), date(c.NotAfter), date(now))
	case errors.As(e.err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "the node's certificate may not be used for this: its extendedKeyUsage lacks serverAuth, or clientAuth where it dials"
	}
	return fmt.Sprintf("the node's certificate is not valid: %v", e.err)
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// maxNames bounds how many hosts are listed: a certificate can have thousands.
const maxNames = 8

// names lists the hosts of a certificate.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host (it has no subjectAltName)"
	}
	if more := len(all) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNames], ", "), more)
	}
	return strings.Join(all, ", ")
}

// alerts explain a node's alerts about us. With TLS 1.3 those about our certificate come with the
// first read, when the handshake is over for us.
var alerts = map[tls.AlertError]string{
	40: "the node refuses the handshake, and its log says why: it demands a certificate of ours (set tls_cert and tls_key: certfile, keyfile); " +
		"or it refuses ours: its extendedKeyUsage, if it has one, must have clientAuth, and a node that dials wants the host part of our node's name in it; or it takes no cipher that we have",
	42:  "the node refuses our certificate (tls_cert, certfile) as bad: its log says more; a node that dials wants the host part of our node's name in it",
	43:  "the node refuses the kind of our certificate (tls_cert, certfile): its extendedKeyUsage must have clientAuth, or be absent",
	44:  "the node refuses our certificate (tls_cert, certfile), which is revoked",
	45:  "the node refuses our certificate (tls_cert, certfile), which has expired by its clock",
	46:  "the node refuses our certificate (tls_cert, certfile): its log says why",
	48:  "the node does not know the authority that has signed our certificate (tls_cert, certfile): add the authority to the node's cacertfile, and intermediate certificates to ours",
	49:  "the node denies us access: its verify_fun does not take our certificate",
	70:  "the node takes none of the TLS versions that we offer (versions)",
	71:  "the node asks for ciphers that are stronger than those that we have",
	80:  "the node has an internal error in TLS: its log says more",
	112: "the node does not know the host name that it was asked for: set tls_server_name (server_name_indication)",
	116: "the node demands a certificate of ours: set tls_cert and tls_key (certfile, keyfile)",
}

// words explains a failed connection. heard says whether the node has sent anything at all; bound
// is the time for the handshake.
func words(err error, heard bool, bound time.Duration) string {
	var cert certError
	var op *net.OpError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &cert):
		return cert.Error()
	case errors.As(err, &header):
		return notTLS(header)
	case errors.As(err, &op) && op.Op == "remote error":
		for alert, text := range alerts {
			if op.Err.Error() == alert.Error() {
				return fmt.Sprintf("%s (alert %q)", text, strings.TrimPrefix(alert.Error(), "tls: "))
			}
		}
		return fmt.Sprintf("the node ends TLS with the alert %q: its log may say why", strings.TrimPrefix(op.Err.Error(), "tls: "))
	case errors.Is(err, os.ErrDeadlineExceeded) && !heard:
		return fmt.Sprintf("the node did not say a word of TLS within %v: a node without -proto_dist inet_tls waits in silence; "+
			"the first handshake of a node loads its crypto, which takes long on a busy machine", bound)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("the TLS handshake did not end within %v", bound)
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)) && !heard:
		return "the node has closed the connection without a word of TLS: was it started with -proto_dist inet_tls?"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the node has closed the connection without a close_notify of TLS: it may have been killed"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "the node has broken the connection off"
	case strings.Contains(err.Error(), "unsupported protocol version"):
		return "the node chose a TLS version that the setting versions does not have"
	case strings.Contains(err.Error(), "client offered only unsupported versions"):
		return "the node offers none of the TLS versions that the setting versions has"
	case strings.Contains(err.Error(), "client didn't provide a certificate"):
		return "the node showed no certificate, and tls_verify (verify) demands one"
	}
	return err.Error()
}

// notTLS explains a first record that is not one of TLS.
func notTLS(e tls.RecordHeaderError) string {
	h := e.RecordHeader
	if h[0] == 0 && h[2] == 'N' { // the name message, behind a length of 16 bits: wire/dist
		return "the node does not speak TLS: it begins with the handshake of a node without -proto_dist inet_tls"
	}
	return fmt.Sprintf("the node does not speak TLS: it begins with % x", h)
}
