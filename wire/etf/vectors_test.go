package etf

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/otpNN.txt anew, NN being the release of erl")

// releases are the releases with vectors.
var releases = []string{"otp25", "otp27", "otp29"}

// everywhere are the tags that every release writes.
var everywhere = []byte{
	tagNewFloat, tagBitBinary, tagNewPid, tagNewerRef, tagSmallInt, tagInt, tagFloat, tagAtom, tagSmallTuple,
	tagLargeTuple, tagNil, tagString, tagList, tagBinary, tagSmallBig, tagLargeBig, tagNewFun, tagExport, tagMap,
	tagAtomUTF8, tagSmallAtomUTF8, tagV4Port,
}

type vector struct {
	name string
	term []byte
	text string
}

func readVectors(t testing.TB, release string) []vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", release+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			t.Fatalf("%s: not three fields: %.80s", release, line)
		}
		term, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatalf("%s: %s: %v", release, f[0], err)
		}
		vs = append(vs, vector{f[0], term, f[2]})
	}
	return vs
}

func TestVectors(t *testing.T) {
	if *update {
		runErl(t, `M:write("otp" ++ erlang:system_info(otp_release) ++ ".txt")`, nil)
	}
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			seen := map[byte]bool{}
			for _, v := range readVectors(t, release) {
				seen[v.term[0]] = true
				checkVector(t, v, release != "otp25" && !strings.Contains(v.name, "minor_version"))
			}
			for _, tag := range everywhere {
				if !seen[tag] {
					t.Errorf("no vector has tag %d", tag)
				}
			}
		})
	}
}

// checkVector reads a term in each way. If same is set, the node's bytes equal ours.
func checkVector(t *testing.T, v vector, same bool) {
	t.Helper()
	term, err := Decode(v.term)
	if err != nil {
		t.Errorf("%s: %v\nterm %s\nbytes %X", v.name, err, v.text, v.term)
		return
	}
	if got := text(term); got != v.text {
		t.Errorf("%s: decoded another term\ngot  %s\nwant %s", v.name, got, v.text)
	}
	more := append(bytes.Clone(v.term), v.term...)
	r := NewReader(more)
	for range 2 {
		raw, err := r.Raw()
		if err != nil || !bytes.Equal(raw, v.term) {
			t.Errorf("%s: Raw gave %X, %v\nwant %X", v.name, raw, err, v.term)
		}
	}
	if err := r.Done(); err != nil {
		t.Errorf("%s: Raw left bytes: %v", v.name, err)
	}
	if _, err := Decode(more); err != errTrailing {
		t.Errorf("%s: Decode of the term twice gave %v, want %v", v.name, err, errTrailing)
	}
	out, err := AppendTerm([]byte("before"), term)
	if err != nil {
		t.Errorf("%s: encode: %v", v.name, err)
		return
	}
	out = out[len("before"):]
	if same && !bytes.Equal(out, v.term) {
		t.Errorf("%s: written in another way than the node does\ngot  %X\nwant %X", v.name, out, v.term)
	}
	if again, err := Decode(out); err != nil || !reflect.DeepEqual(again, term) {
		t.Errorf("%s: read, written and read again: %v\ngot  %v\nwant %v", v.name, err, again, term)
	}
}

// Each prefix of a term is refused as truncated.
func TestTruncated(t *testing.T) {
	for _, release := range releases {
		for _, v := range readVectors(t, release) {
			for i := range v.term {
				if _, err := Decode(v.term[:i]); err != errTruncated {
					t.Fatalf("%s: first %d of %d bytes: %v, want %v", v.name, i, len(v.term), err, errTruncated)
				}
			}
		}
	}
}
