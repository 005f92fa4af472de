package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// erluv uses TLS with these nodes, and requires these names in their certificates.
func TestSpeaksTLS(t *testing.T) {
	for _, test := range []struct {
		args string
		want [3]bool // with a@one, ab@one, a@two
	}{
		{"", [3]bool{}},
		{"tls_nodes=*", [3]bool{}},
		{"tls=on", [3]bool{true, true, true}},
		{"tls=on tls_nodes=*@one", [3]bool{true, true, false}},
		{"tls=on tls_nodes=a@two,ab@*", [3]bool{false, true, true}},
	} {
		args := map[string]string{}
		for arg := range strings.FieldsSeq(test.args) {
			name, value, _ := strings.Cut(arg, "=")
			args[name] = value
		}
		c, _, err := Load(Sources{Machine: testMachine(t), Args: args})
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]bool{c.SpeaksTLS("a@one"), c.SpeaksTLS("ab@one"), c.SpeaksTLS("a@two")}; got != test.want {
			t.Errorf("%s: %v, want %v", test.args, got, test.want)
		}
	}
	for _, test := range []struct {
		tls  TLS
		want string
	}{{TLS{}, "h.x"}, {TLS{ServerName: "other"}, "other"}, {TLS{AnyServer: true}, ""}} {
		if got := test.tls.NameOf("n@h.x"); got != test.want {
			t.Errorf("%+v: %q, want %q", test.tls, got, test.want)
		}
	}
}

// The sources decide between tls_optfile and the single keys. Some combinations are refused.
func TestTLSKeys(t *testing.T) {
	m := testMachine(t)
	write(t, m, ".erlang.cookie", "OVEN")
	ca, cert := write(t, m, "ca", "authority"), write(t, m, "cert", "certificate and key")
	key := write(t, m, "key", "key")
	optfile := write(t, m, "opts", fmt.Sprintf(`[{client, [{cacertfile, %q}, {verify, verify_peer}, {ciphers, []}]}].`, ca))
	bare := write(t, m, "bare", `[{client, []}].`)
	other := write(t, m, "other", `[{server, []}].`)
	missing := filepath.Join(m.Home, "missing")
	open := write(t, m, "open", "key")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		environ, args string // as NAME=VALUE with spaces between them
		files         TLSFiles
		warns         string
		problem       string
	}{
		"single keys":         {args: "tls_ca=" + ca + " tls_cert=" + cert + " tls_key=" + key, files: TLSFiles{[]byte("authority"), []byte("certificate and key"), []byte("key")}},
		"one file":            {args: "tls_ca=" + ca + " tls_cert=" + cert, files: TLSFiles{[]byte("authority"), []byte("certificate and key"), []byte("certificate and key")}},
		"not verified":        {args: "tls_verify=none"},
		"an optfile":          {args: "tls_optfile=" + optfile, files: TLSFiles{CA: []byte("authority")}},
		"an optfile wins":     {environ: "ERLUV_TLS_OPTFILE=" + optfile, args: "tls_verify=none", files: TLSFiles{CA: []byte("authority")}, warns: "tls_verify from --tls-verify is ignored: tls_optfile is set by ERLUV_TLS_OPTFILE"},
		"an optfile loses":    {environ: "ERLUV_TLS_VERIFY=none", args: "tls_optfile=" + missing, warns: "tls_optfile from --tls-optfile is ignored: tls_verify is set by ERLUV_TLS_VERIFY"},
		"both":                {args: "tls_optfile=" + optfile + " tls_ca=" + ca, problem: "tls_optfile and tls_ca exclude each other"},
		"no authority":        {problem: "no authority is named"},
		"nor in the optfile":  {args: "tls_optfile=" + bare, problem: "(in an optfile: cacertfile)"},
		"nothing for us":      {args: "tls_optfile=" + other, problem: "it has no {client, [...]}"},
		"a key alone":         {args: "tls_ca=" + ca + " tls_key=" + key, problem: "a private key without a certificate"},
		"no file":             {args: "tls_ca=" + missing, problem: "cannot read the authorities for TLS: " + missing + " does not exist"},
		"no optfile":          {args: "tls_optfile=" + missing, problem: "cannot read the options for TLS: " + missing + " does not exist"},
		"an open key":         {args: "tls_ca=" + ca + " tls_cert=" + cert + " tls_key=" + open, problem: "holds a private key, and others can read it (mode 0644)"},
		"an open certificate": {args: "tls_ca=" + ca + " tls_cert=" + open, problem: "holds a private key, and others can read it"},
	} {
		t.Run(name, func(t *testing.T) {
			args := map[string]string{"node": "n@localhost", "tls": "on"}
			for arg := range strings.FieldsSeq(test.args) {
				name, value, _ := strings.Cut(arg, "=")
				args[name] = value
			}
			c, warnings, err := Load(Sources{Machine: m, Args: args, Environ: strings.Fields(test.environ)})
			if err == nil {
				err = c.Check()
			}
			if test.problem != "" {
				wantProblem(t, err, test.problem)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) > 0 != (test.warns != "") || test.warns != "" && !contains(warnings, test.warns) {
				t.Errorf("warnings %q, want %q", warnings, test.warns)
			}
			if c.TLSOptfile != "" && !slices.Equal(c.TLSIgnored, []string{"ciphers"}) {
				t.Errorf("ignored are %q", c.TLSIgnored)
			}
			_, files, err := c.ReadTLS(TLSClient)
			if err != nil || string(files.CA) != string(test.files.CA) || string(files.Cert) != string(test.files.Cert) || string(files.Key) != string(test.files.Key) {
				t.Errorf("%q, %v", files, err)
			}
		})
	}
	_, warnings, err := Load(Sources{Machine: m, Args: map[string]string{"tls_ca": ca}})
	if err != nil || !contains(warnings, "tls_ca from --tls-ca is ignored: tls is off") {
		t.Errorf("%q, %v", warnings, err)
	}
	file := write(t, m, ".erluv.conf", "tls_key = \"key\"\n")
	_, _, err = Load(Sources{Machine: m})
	wantProblem(t, err, file+":1", "is relative, to a directory that is another each time")
}
