package main

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"erluv/web"
)

// TestSeekPassesTheSilent checks that a silent node does not keep the page from the erluvs of other
// nodes. At most one question to a node is open. Until a node answers it, its last answer counts.
func TestSeekPassesTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		var asked, quick, slow atomic.Int64 // the last two are durations
		node := func(name string, takes *atomic.Int64) *fleetNode {
			return &fleetNode{target: name, err: errNotYet, ask: func(ctx context.Context) ([]told[host], error) {
				asked.Add(1)
				select {
				case <-time.After(time.Duration(takes.Load())):
					h := host{through{node: "erluv of " + name}, "erluv of " + name}
					return []told[host]{{node: h.name, value: h}, {node: "x@" + name, err: errors.New("silent")}}, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}}
		}
		f := &fleet{nodes: []*fleetNode{node("a", &slow), node("b", &quick), node("c", &slow)}}
		seek := func(within time.Duration, questions int64, names, troubles []string) {
			t.Helper()
			began := time.Now()
			asked.Store(0)
			found := f.seek(ctx)
			if want := (web.Hosts{Names: names, Troubles: troubles}); !reflect.DeepEqual(found, want) || time.Since(began) != within || asked.Load() != questions {
				t.Errorf("%+v within %v by %d questions, want %+v within %v by %d", found, time.Since(began), asked.Load(), want, within, questions)
			}
		}
		all := []string{"erluv of a", "erluv of b", "erluv of c"}
		none := []string{"x@a: silent", "x@b: silent", "x@c: silent"}
		slow.Store(int64(3 * seekWait))
		seek(seekWait, 3, []string{"erluv of b"}, []string{"a: it has not answered yet", "x@b: silent", "c: it has not answered yet"})
		seek(seekWait, 1, []string{"erluv of b"}, []string{"a: it has not answered yet", "x@b: silent", "c: it has not answered yet"})
		time.Sleep(seekWait)
		synctest.Wait()
		slow.Store(0)
		seek(0, 3, all, none)
		slow.Store(int64(time.Hour))
		seek(seekWait, 3, all, none)
		seek(seekWait, 1, all, none)
		end()
		f.close()
	})
}
