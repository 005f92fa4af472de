package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// The values of the key tls_verify, and the value of tls_server_name for any name.
const (
	verifyPeer = "peer"
	verifyNone = "none"
	anyName    = "*"
)

// SpeaksTLS reports whether erluv uses TLS with a node.
func (c *Config) SpeaksTLS(node string) bool {
	return c.TLS && slices.ContainsFunc(c.TLSNodes, func(pattern string) bool { return matches(pattern, node) })
}

// NameOf returns the name that the certificate of a node must have, or "" for any.
func (t *TLS) NameOf(node string) string {
	if t.AnyServer || t.ServerName != "" {
		return t.ServerName
	}
	_, host, _ := strings.Cut(node, "@")
	return host
}

// ReadTLS returns the settings of TLS for one side, and reads its files. It reads them for each
// connection, because a certificate is renewed while erluv runs.
func (c *Config) ReadTLS(side TLSSide) (t *TLS, f TLSFiles, err error) {
	owners := c.machine.owners()
	if c.TLSOptfile != "" {
		t, err = ReadOptfile(c.TLSOptfile, side, owners)
	} else {
		d := defaultTLS()
		t = &d
		t.CA, t.Cert, t.Key, t.Verify = c.TLSCA, c.TLSCert, c.TLSKey, c.TLSVerify
		if t.AnyServer = c.TLSServerName == anyName; !t.AnyServer {
			t.ServerName = c.TLSServerName
		}
	}
	if err != nil {
		return nil, f, fmt.Errorf("cannot read the options for TLS: %w", err)
	}
	switch {
	case t.Verify && t.CA == "":
		return nil, f, errors.New("tls: no authority is named by which to check the certificates of nodes: " +
			"name the file with its certificate in tls_ca (in an optfile: cacertfile)")
	case t.Cert == "" && t.Key != "":
		return nil, f, errors.New("tls: there is a private key without a certificate: name the file with it in tls_cert (in an optfile: certfile)")
	}
	f, err = t.ReadFiles(owners)
	return t, f, err
}

// checkTLS checks whether TLS is possible, for each side in use.
func (c *Config) checkTLS() error {
	if !c.TLS {
		return nil
	}
	if len(c.Targets) > 0 || c.Discover != "" {
		t, _, err := c.ReadTLS(TLSClient)
		if err != nil {
			return err
		}
		c.TLSIgnored = t.Ignored
	}
	if c.Listen.On() {
		t, _, err := c.ReadTLS(TLSServer)
		if err == nil && t.Cert == "" {
			err = errors.New("tls: nodes that connect to erluv need a certificate of ours: name the file in tls_cert (in an optfile: certfile)")
		}
		return err
	}
	return nil
}

// tls finishes the settings of TLS.
func (l *loader) tls(c *Config) {
	single := []string{"tls_ca", "tls_cert", "tls_key", "tls_verify", "tls_server_name"}
	optfile := c.setting("tls_optfile")
	for _, key := range single {
		s := c.setting(key)
		switch {
		case !c.isSet(key) || !c.isSet(optfile.Name):
		case s.used.rank == optfile.used.rank:
			l.problem("%s: %s and %s exclude each other: leave one out", s.Source, optfile.Name, key)
		case s.used.rank < optfile.used.rank:
			c.TLSOptfile = ""
			l.warn("%s from %s is ignored: %s is set by %s", optfile.Name, optfile.Source, key, s.Source)
			return
		default:
			l.warn("%s from %s is ignored: %s is set by %s", key, s.Source, optfile.Name, optfile.Source)
		}
	}
	for _, key := range append(single, "tls_nodes", optfile.Name) {
		if c.isSet(key) && !c.TLS {
			l.warn("%s from %s is ignored: tls is off", key, c.setting(key).Source)
		}
	}
}

// TLS has the settings of TLS with nodes, from single keys or an optfile.
type TLS struct {
	CA, Cert, Key string // files with PEM; "": no file
	Verify        bool   // one of CA must have signed the other side's certificate
	CertOptional  bool   // a node that dials need not show a certificate

	// ServerName is the name that the certificate of a dialled node must have. With AnyServer it is
	// "", and any name is accepted. Otherwise "" means the host part of the node's name.
	ServerName string
	AnyServer  bool

	MinVersion, MaxVersion uint16 // TLS's numbers: 0x0303 is 1.2, 0x0304 is 1.3
	Depth                  uint8  // the most intermediate certificates in a chain

	// Ignored are options of the optfile that have no effect here, for the log.
	Ignored []string
}

// The versions of TLS that erluv supports.
const (
	tls12 = 0x0303
	tls13 = 0x0304
)

// defaultTLS has OTP's defaults, except that it verifies certificates, which OTP 25 does not.
func defaultTLS() TLS {
	return TLS{Verify: true, MinVersion: tls12, MaxVersion: tls13, Depth: 10}
}

// maxPEM bounds a file of certificates, in bytes. A system's whole list of authorities has some 220
// KiB.
const maxPEM = 1 << 20

// TLSFiles has the contents of the files of a TLS.
type TLSFiles struct{ CA, Cert, Key []byte }

// ReadFiles reads the files. Only root and the owners may have been able to change any of them.
// Only they may read the private key. If it belongs to root, its group may read it too.
func (t *TLS) ReadFiles(owners []int) (f TLSFiles, err error) {
	if f.CA, err = readPEM(t.CA, owners, false); err != nil {
		return TLSFiles{}, fmt.Errorf("cannot read the authorities for TLS: %w", err)
	}
	key := t.Key
	if key == "" { // OTP too then takes it from the certificate's file
		key = t.Cert
	}
	if f.Cert, err = readPEM(t.Cert, owners, key == t.Cert); err != nil {
		if t.Key == "" {
			err = fmt.Errorf("%w; the key is looked for there, as tls_key (keyfile) is not set", err)
		}
		return TLSFiles{}, fmt.Errorf("cannot read the certificate for TLS: %w", err)
	}
	if f.Key, err = readPEM(key, owners, true); err != nil {
		return TLSFiles{}, fmt.Errorf("cannot read the private key for TLS: %w", err)
	}
	return f, nil
}

// readPEM reads a file, if it has a name.
func readPEM(path string, owners []int, secret bool) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return readTrusted(path, owners, secret, maxPEM)
}

// readTrusted reads a file that only root and the owners can have written. The argument most bounds
// its size in bytes. If it is secret, other users may not read it.
func readTrusted(path string, owners []int, secret bool, most int64) ([]byte, error) {
	f, err := openTrusted(path, owners...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, unwrapPath(err))
	}
	defer f.Close()
	if err := checkPEM(f, path, owners, secret); err != nil {
		return nil, err
	}
	content, err := readBounded(f, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

func checkPEM(f *os.File, path string, owners []int, secret bool) error {
	owner, mode, err := attributes(f)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case owner != 0 && !slices.Contains(owners, owner):
		return fmt.Errorf("%s belongs to %s, and must belong to %s", path, userName(owner), userNames(append([]int{0}, owners...)))
	case mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %04o): chmod go-w %s", path, mode, path)
	case secret && (mode&0o007 != 0 || mode&0o070 != 0 && (owner != 0 || mode&0o070 != 0o040)):
		return fmt.Errorf("%s holds a private key, and others can read it (mode %04o): chmod 400 %s "+
			"(a file of root's may have 0440 or 0640, for a group)", path, mode, path)
	}
	return nil
}
