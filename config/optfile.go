package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"erluv/wire/consult"
)

// TLSSide is the side of TLS that an optfile is read for.
type TLSSide string

// The sides.
const (
	TLSClient TLSSide = "client" // for nodes that are dialled
	TLSServer TLSSide = "server" // for nodes that connect
)

// ReadOptfile reads one side of OTP's ssl_dist_optfile, a file with the term
//
//	[{server, [Option, ...]}, {client, [Option, ...]}].
//
// and the options of ssl(3). It ignores those of the other side. An option about trust that erluv
// cannot follow is an error. An option about anything else, such as ciphers or buffers, is ignored.
// The node has the same file and applies the option on its side. The errors name the file and the
// line.
func ReadOptfile(path string, side TLSSide, owners []int) (*TLS, error) {
	content, err := readTrusted(path, owners, false, consult.MaxSize)
	if err != nil {
		return nil, err
	}
	t, err := parseOptfile(content, side)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// wrong is an error at a term.
func wrong(t consult.Term, format string, args ...any) error {
	return &consult.Error{Line: t.Line, Text: fmt.Sprintf(format, args...)}
}

func parseOptfile(content []byte, side TLSSide) (*TLS, error) {
	terms, err := consult.Parse(content)
	if err != nil {
		return nil, err
	}
	if len(terms) != 1 || terms[0].Kind != consult.List {
		return nil, errors.New("it must hold one list, [{server, [...]}, {client, [...]}], and a full stop")
	}
	options, found := consult.Term{}, false
	for _, pair := range terms[0].Items {
		name, v, ok := pairOf(pair)
		if !ok || v.Kind != consult.List {
			return nil, wrong(pair, "%s is neither {server, [...]} nor {client, [...]}", short(pair))
		}
		if name != string(side) {
			continue
		}
		if found {
			return nil, wrong(pair, "there are two lists for the %s", side)
		}
		options, found = v, true
	}
	if !found {
		return nil, fmt.Errorf("it has no {%s, [...]}", side)
	}
	t := defaultTLS()
	seen := map[string]bool{}
	for _, option := range options.Items {
		name, v, ok := pairOf(option)
		if !ok && option.Kind == consult.Atom { // a proplist allows this, proplists(3)
			name, v, ok = option.Text, consult.Term{Line: option.Line, Kind: consult.Atom, Text: "true"}, true
		}
		if !ok {
			return nil, wrong(option, "%s is no option: it must be {Name, Value}", short(option))
		}
		if seen[name] {
			return nil, wrong(option, "the option %s is given twice", name)
		}
		seen[name] = true
		if err := t.option(name, option, v); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

// pairOf parses {Name, Value}.
func pairOf(t consult.Term) (name string, v consult.Term, ok bool) {
	if t.Kind != consult.Tuple || len(t.Items) != 2 || t.Items[0].Kind != consult.Atom {
		return "", v, false
	}
	return t.Items[0].Text, t.Items[1], true
}

// short prints a term for an error.
func short(t consult.Term) string {
	const limit = 60
	text := t.Printed()
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}

// option reads one option of ssl(3).
func (t *TLS) option(name string, option, v consult.Term) (err error) {
	switch name {
	case "cacertfile":
		t.CA, err = pathOf(name, v)
	case "certfile":
		t.Cert, err = pathOf(name, v)
	case "keyfile":
		t.Key, err = pathOf(name, v)
	case "verify":
		switch {
		case v.Kind == consult.Atom && v.Text == "verify_peer":
			t.Verify = true
		case v.Kind == consult.Atom && v.Text == "verify_none":
			t.Verify = false
		default:
			err = wrong(v, "verify must be verify_peer or verify_none, not %s", short(v))
		}
	case "fail_if_no_peer_cert":
		var fail bool
		fail, err = boolOf(name, v)
		t.CertOptional = !fail
	case "server_name_indication":
		switch {
		case v.Kind == consult.Atom && v.Text == "disable":
			t.AnyServer = true
		case v.Kind == consult.String && v.Text != "":
			t.ServerName = v.Text
		default:
			err = wrong(v, "server_name_indication must be a string or disable, not %s", short(v))
		}
	case "versions":
		err = t.versions(v)
	case "depth":
		if v.Kind != consult.Integer || v.Int < 0 || v.Int > 255 {
			return wrong(v, "depth must be a number from 0 to 255, not %s", short(v))
		}
		t.Depth = uint8(v.Int)
	case "secure_renegotiate":
		var secure bool
		secure, err = boolOf(name, v)
		if err == nil && !secure {
			err = wrong(v, "secure_renegotiate cannot be false: erluv renegotiates securely, or not at all")
		}
	default:
		if why, refused := refusedOptions[name]; refused {
			return wrong(option, "erluv cannot keep the option %s: %s", name, why)
		}
		if !ignoredOptions[name] {
			return wrong(option, "erluv does not know the option %s", name)
		}
		t.Ignored = append(t.Ignored, name)
	}
	return err
}

// refusedOptions determine trust in a way that erluv cannot follow.
var refusedOptions = map[string]string{
	"password":                 "it takes no private key with a password: openssl pkey -in OLD -out NEW writes it without, for a file that only its owner may read",
	"verify_fun":               "it runs no function of Erlang; it checks the chain, and of a node that it dials the name",
	"partial_chain":            "it runs no function of Erlang: put the certificate that ends the chain into cacertfile",
	"customize_hostname_check": "it runs no function of Erlang: name the host in server_name_indication",
	"crl_check":                "it reads no lists of revoked certificates",
	"crl_cache":                "it reads no lists of revoked certificates",
	"stapling":                 "it asks for no state of certificates",
	"cert":                     "it takes certificates from files: use certfile",
	"key":                      "it takes the private key from a file: use keyfile",
	"cacerts":                  "it takes authorities from a file: use cacertfile",
	"certs_keys":               "it takes one certificate: use certfile and keyfile",
	"sni_fun":                  "it has one certificate: use certfile and keyfile",
	"sni_hosts":                "it has one certificate: use certfile and keyfile",
	"psk_identity":             "it proves itself by a certificate",
	"user_lookup_fun":          "it proves itself by a certificate",
	"srp_identity":             "it proves itself by a certificate",
}

// ignoredOptions concern the way of communication, not trust. Where both sides have a choice, the
// node's options count. It has the same options, and accepts no other cipher, curve or signature.
var ignoredOptions = map[string]bool{}

func init() {
	for name := range strings.FieldsSeq(`
		ciphers eccs signature_algs signature_algs_cert supported_groups honor_cipher_order honor_ecc_order
		dh dhfile reuse_sessions reuse_session session_tickets anti_replay early_data use_ticket fallback
		client_renegotiation renegotiate_at key_update_at hibernate_after log_level handshake max_handshake_size
		beast_mitigation padding_check middlebox_comp_mode max_fragment_length certificate_authorities cookie
		ktls keep_secrets receiver_spawn_opts sender_spawn_opts protocol alpn_advertised_protocols
		alpn_preferred_protocols cb_info nodelay keepalive sndbuf recbuf buffer packet active mode`) {
		ignoredOptions[name] = true
	}
}

func pathOf(name string, v consult.Term) (string, error) {
	if v.Kind != consult.String && v.Kind != consult.Binary || v.Text == "" {
		return "", wrong(v, "%s must be the name of a file, not %s", name, short(v))
	}
	if strings.ContainsRune(v.Text, 0) {
		return "", wrong(v, "%s: no file has a name with a zero in it", name)
	}
	if !filepath.IsAbs(v.Text) {
		return "", wrong(v, "%s: %s begins in the directory where the node was started, which erluv does not know: give the whole path", name, short(v))
	}
	return v.Text, nil
}

func boolOf(name string, v consult.Term) (bool, error) {
	if v.Kind == consult.Atom && (v.Text == "true" || v.Text == "false") {
		return v.Text == "true", nil
	}
	return false, wrong(v, "%s must be true or false, not %s", name, short(v))
}

// versions reads the versions that erluv supports. Older ones count only for the node.
func (t *TLS) versions(v consult.Term) error {
	if v.Kind != consult.List {
		return wrong(v, "versions must be a list, not %s", short(v))
	}
	t.MinVersion, t.MaxVersion = tls13+1, 0
	for _, item := range v.Items {
		if item.Kind != consult.Atom {
			return wrong(item, "versions has %s, which is no version", short(item))
		}
		var n uint16
		switch item.Text {
		case "tlsv1.3":
			n = tls13
		case "tlsv1.2":
			n = tls12
		case "tlsv1.1", "tlsv1":
			continue
		default:
			return wrong(item, "versions has %s, which is no version", short(item))
		}
		t.MinVersion, t.MaxVersion = min(t.MinVersion, n), max(t.MaxVersion, n)
	}
	if t.MaxVersion == 0 {
		return wrong(v, "versions has neither tlsv1.2 nor tlsv1.3, and erluv speaks no other")
	}
	return nil
}
