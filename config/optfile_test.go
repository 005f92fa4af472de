package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOptfile(t *testing.T) {
	with := func(change func(*TLS)) TLS {
		want := defaultTLS()
		change(&want)
		return want
	}
	for text, want := range map[string]TLS{
		`[{client, []}].`: with(func(*TLS) {}),
		`% as in the documents of ssl
		[{server, [{certfile, "/not/looked/at"}, {password, "x"}]},
		 {client, [{cacertfile, "/a/ca.pem"}, {certfile, <<"/a/cert.pem">>}, {keyfile, "/a/" "key.pem"}, {verify, verify_none},
			{secure_renegotiate, true}, {versions, ['tlsv1.2']}, {depth, 2}, {server_name_indication, "host"}]}].`: with(func(t *TLS) {
			t.CA, t.Cert, t.Key, t.Verify = "/a/ca.pem", "/a/cert.pem", "/a/key.pem", false
			t.MaxVersion, t.Depth, t.ServerName = tls12, 2, "host"
		}),
		`[{client, [{versions, ['tlsv1.3', 'tlsv1.2', 'tlsv1.1']}, {server_name_indication, disable}]}].`: with(func(t *TLS) { t.AnyServer = true }),
		`[{client, [{versions, ['tlsv1.3']}, {fail_if_no_peer_cert, false}, nodelay, {ciphers, "ECDHE"}, {renegotiate_at, 300}]}].`: with(func(t *TLS) {
			t.MinVersion, t.CertOptional, t.Ignored = tls13, true, []string{"nodelay", "ciphers", "renegotiate_at"}
		}),
	} {
		got, err := parseOptfile([]byte(text), TLSClient)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestOptfileErrors(t *testing.T) {
	options := func(text string) string { return "[{client,\n[" + text + "]}]." }
	for text, want := range map[string]string{
		"":                                     "it must hold one list",
		"[]. []":                               "line 1: the end of the text comes after a term",
		"[]. [].":                              "it must hold one list",
		"[{server, []}].":                      "it has no {client, [...]}",
		"[\n{client, a}].":                     "line 2: {client,a} is neither",
		"[client].":                            "line 1: client is neither",
		"[{client, []},\n{client, []}].":       "line 2: there are two lists for the client",
		options("{depth, 1},\n{depth,1}"):      "line 3: the option depth is given twice",
		options("{a,b,c}"):                     "line 2: {a,b,c} is no option",
		options("{sertfile, \"/a\"}"):          "line 2: erluv does not know the option sertfile",
		options("{certfile, a}"):               "line 2: certfile must be the name of a file, not a",
		options("{certfile, \"a.pem\"}"):       "give the whole path",
		options("{certfile, \"/a\\0\"}"):       "a zero in it",
		options("{password, \"x\"}"):           "line 2: erluv cannot keep the option password",
		options("\n{verify_fun, {m, f, []}}"):  "line 3: erluv cannot keep the option verify_fun",
		options("{crl_check, true}"):           "revoked",
		options("{verify, true}"):              "verify must be verify_peer or verify_none, not true",
		options("{fail_if_no_peer_cert, 1}"):   "must be true or false, not 1",
		options("{server_name_indication, a}"): "must be a string or disable",
		options("{versions, a}"):               "versions must be a list",
		options("{versions, [1]}"):             "versions has 1, which is no version",
		options("{versions, ['tlsv1.4']}"):     "versions has 'tlsv1.4', which is no version",
		options("{versions, ['tlsv1.1']}"):     "neither tlsv1.2 nor tlsv1.3",
		options("{depth, 256}"):                "depth must be a number",
		options("{secure_renegotiate, false}"): "cannot be false",
		options("fun a:b/1"):                   "line 2: funs are not taken here",
	} {
		if got, err := parseOptfile([]byte(text), TLSClient); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v\nwant %s", text, got, err, want)
		}
	}
}

// TestTLSFiles: which owners and modes the files may have, and which of them are read.
func TestTLSFiles(t *testing.T) {
	us := os.Getuid()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // independent of the umask
			t.Fatal(err)
		}
		return path
	}
	opts := write("opts", fmt.Sprintf(`[{client, [{cacertfile, %q}, {certfile, %q}]}].`,
		write("ca", "CA", 0o644), write("cert", "CERT KEY", 0o400)), 0o644)
	got, err := ReadOptfile(opts, TLSClient, []int{us})
	if err != nil {
		t.Fatal(err)
	}
	files, err := got.ReadFiles([]int{us})
	if diff := cmp.Diff(TLSFiles{[]byte("CA"), []byte("CERT KEY"), []byte("CERT KEY")}, files); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if files, err := (&TLS{}).ReadFiles([]int{us}); err != nil || files.CA != nil || files.Key != nil {
		t.Errorf("no files: %v, %v", files, err)
	}
	for want, tls := range map[string]TLS{
		"does not exist": {CA: filepath.Join(dir, "none")},
		"authorities for TLS: " + dir + "/loose can be written by others (mode 0666)": {CA: write("loose", "", 0o666)},
		"certificate for TLS: " + dir + "/open holds a private key":                   {Cert: write("open", "", 0o644)},
		"private key for TLS: " + dir + "/others holds a private key":                 {Cert: got.CA, Key: write("others", "", 0o604)},
		"as tls_key (keyfile) is not set":                                             {Cert: write("shut", "", 0o644)},
		"is larger than 1048576 bytes":                                                {CA: write("large", strings.Repeat("a", maxPEM+1), 0o600)},
		"is no regular file":                                                          {CA: dir},
	} {
		if _, err := tls.ReadFiles([]int{us}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v\nwant %s", tls, err, want)
		}
	}
	// A group may read a key that belongs to root, but no other key.
	byGroup := TLS{Cert: got.CA, Key: write("group", "", 0o640)}
	if _, err := byGroup.ReadFiles([]int{us}); (err == nil) != (us == 0) {
		t.Errorf("a key of a group, for user %d: %v", us, err)
	}
	if us == 0 {
		if err := os.Chown(byGroup.Key, stranger, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := byGroup.ReadFiles([]int{stranger}); err == nil || !strings.Contains(err.Error(), "0440 or 0640") {
			t.Errorf("a key of a user's: %v", err)
		}
		if _, err := byGroup.ReadFiles([]int{us}); err == nil || !strings.Contains(err.Error(), "must belong to") {
			t.Errorf("a key of another's: %v", err)
		}
		if _, err := ReadOptfile(byGroup.Key, TLSClient, []int{us}); err == nil || !strings.Contains(err.Error(), "must belong to") {
			t.Errorf("an optfile of another's: %v", err)
		}
	}
	if _, err := ReadOptfile(filepath.Join(dir, "none"), TLSClient, nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Error(err)
	}
	if _, err := ReadOptfile(write("bad", "\n\n[{client, [{depth, a}]}].", 0o644), TLSClient, []int{us}); err == nil || !strings.Contains(err.Error(), "bad: line 3: depth must be") {
		t.Error(err)
	}
}
