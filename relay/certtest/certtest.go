// Package certtest makes authorities and certificates for tests.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync/atomic"
	"time"
)

// Authority signs certificates.
type Authority struct {
	PEM  []byte // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Wish describes a certificate. The zero value has no name, is valid now, and may be used for
// everything.
type Wish struct {
	Names     []string // hosts and addresses
	DNSNames  []string // of any form
	Usage     []x509.ExtKeyUsage
	From, To  time.Time // zero: an hour ago, in an hour
	Authority bool
}

var serial atomic.Int64

// NewAuthority makes an authority of that name.
func NewAuthority(name string) *Authority {
	key := newKey()
	template := newTemplate(name, Wish{Authority: true})
	return newAuthority(template, template, key, key)
}

// Below makes an authority that a has signed.
func (a *Authority) Below(name string) *Authority {
	return newAuthority(newTemplate(name, Wish{Authority: true}), a.cert, newKey(), a.key)
}

func newAuthority(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *Authority {
	der := must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by))
	return &Authority{
		PEM:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		cert: must(x509.ParseCertificate(der)), key: key,
	}
}

// Issue makes a certificate and its key, as PEM.
func (a *Authority) Issue(w Wish) (cert, key []byte) {
	k := newKey()
	der := must(x509.CreateCertificate(rand.Reader, newTemplate("erluv test", w), a.cert, &k.PublicKey, a.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))})
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func newTemplate(name string, w Wish) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: w.Usage, BasicConstraintsValid: true,
	}
	if !w.From.IsZero() {
		t.NotBefore = w.From
	}
	if !w.To.IsZero() {
		t.NotAfter = w.To
	}
	if w.Authority {
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	}
	t.DNSNames = append(t.DNSNames, w.DNSNames...)
	for _, name := range w.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

// must is for calls that fail only without memory or randomness.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
