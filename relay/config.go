package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"

	"erluv/ipc"
)

// configOf makes TLS's configuration. The errors name the setting with the remedy, by erluv's key
// and by OTP's option.
func configOf(m ipc.StartRelay, mat ipc.Material) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: m.MinVersion,
		MaxVersion: m.MaxVersion,
		ServerName: m.ServerName,
		// A node with TLS 1.2 begins a new handshake after 2^28 records of its own. By default Go
		// refuses, which would end the connection.
		Renegotiation: tls.RenegotiateFreelyAsClient,
		// Otherwise the first records have 1 KiB, a size for browsers.
		DynamicRecordSizingDisabled: true,
		// Each process has one connection, so nothing can be resumed.
		SessionTicketsDisabled: true,
		// verify, below, checks every certificate, on clients and servers alike. It works without a
		// name, and limits the chain.
		InsecureSkipVerify: true,
	}
	if err := addIdentity(c, m, mat); err != nil {
		return nil, err
	}
	roots, err := authorities(m, mat.CA)
	if err != nil {
		return nil, err
	}
	if m.Verify {
		c.VerifyConnection = func(s tls.ConnectionState) error { return verify(s, m, roots) }
	}
	switch {
	case !m.Server || !m.Verify:
	case m.CertOptional:
		c.ClientAuth, c.ClientCAs = tls.RequestClientCert, roots
	default:
		c.ClientAuth, c.ClientCAs = tls.RequireAnyClientCert, roots
	}
	return c, nil
}

// addIdentity adds our certificate, which a server must have.
func addIdentity(c *tls.Config, m ipc.StartRelay, mat ipc.Material) error {
	switch {
	case len(mat.Cert) == 0 && m.Server:
		return errors.New("nodes that connect over TLS need a certificate of ours: set tls_cert and tls_key (certfile, keyfile)")
	case len(mat.Cert) == 0:
		return nil
	}
	key := mat.Key
	if len(key) == 0 { // OTP also looks for the key beside the certificate then
		key = mat.Cert
	}
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errors.New("the private key (tls_key, keyfile) has a password, which erluv does not take: " +
				"openssl pkey -in OLD -out NEW writes it without, for a file that only its owner may read")
		}
	}
	pair, err := tls.X509KeyPair(mat.Cert, key)
	if err != nil {
		return fmt.Errorf("the certificate (tls_cert, certfile) and its private key (tls_key, keyfile) cannot be used: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	// Even if the node names other authorities: otherwise Go shows no certificate, and the node
	// complains about that.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return nil
}

func authorities(m ipc.StartRelay, ca []byte) (*x509.CertPool, error) {
	switch {
	case len(ca) == 0 && m.Verify:
		return nil, errors.New("there is no authority by which to check the node's certificate: name the file with " +
			"the authority's certificate in tls_ca (cacertfile), or set tls_verify to none ({verify, verify_none}) to take any")
	case len(ca) == 0:
		return nil, nil
	}
	roots := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(ca); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			// An unused authority with an unreadable certificate is no reason not to serve.
			continue
		}
		roots.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("the file of authorities (tls_ca, cacertfile) has no certificate that can be read: it must have PEM blocks, -----BEGIN CERTIFICATE-----")
	}
	return roots, nil
}

// verify checks the certificate that the node has shown.
func verify(s tls.ConnectionState, m ipc.StartRelay, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return nil // the configuration then requires none
	}
	leaf := s.PeerCertificates[0]
	o := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if m.Server {
		o.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, cert := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(o)
	if err == nil && !m.Server && m.ServerName != "" {
		err = verifyName(leaf, m.ServerName)
	}
	if err != nil {
		return certError{leaf, m.ServerName, err}
	}
	shortest := len(chains[0])
	for _, chain := range chains {
		shortest = min(shortest, len(chain))
	}
	if between := shortest - 2; between > int(m.Depth) {
		return certError{leaf, m.ServerName, fmt.Errorf("there are %d certificates between it and its authority, and depth is %d", between, m.Depth)}
	}
	return nil
}

// verifyName checks the name. OTP 25 wants the host part of a node's name as a DNS name, even if it
// is an address (27 and 29 do not). So certificates for such nodes have the address as a DNS name.
func verifyName(leaf *x509.Certificate, name string) error {
	if net.ParseIP(name) != nil && slices.Contains(leaf.DNSNames, name) {
		return nil
	}
	return leaf.VerifyHostname(name)
}
