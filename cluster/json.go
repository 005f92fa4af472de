package cluster

import (
	"bytes"
	"encoding/json"

	"erluv/stat"
)

// The JSON form of a map. Fields may be added, but not removed.
type (
	jsonMap struct {
		Entry       string     `json:"entry"`
		Complete    bool       `json:"complete"`
		Incomplete  string     `json:"incomplete,omitempty"` // the reason
		TookMS      int64      `json:"took_ms"`
		LeftOut     int        `json:"left_out"`
		Nodes       []jsonNode `json:"nodes"`
		Connections []jsonEdge `json:"connections"`
	}
	jsonNode struct {
		Name      string `json:"name"`
		State     State  `json:"state"`
		Why       string `json:"why,omitempty"`
		Hidden    bool   `json:"hidden"`
		OTP       string `json:"otp,omitempty"`
		UptimeS   int64  `json:"uptime_s,omitempty"`
		Processes int64  `json:"processes,omitempty"`
	}
	jsonEdge struct {
		A        string `json:"a"`
		B        string `json:"b"`
		Hidden   bool   `json:"hidden"`
		OneSided bool   `json:"one_sided,omitempty"`
		Mute     bool   `json:"mute,omitempty"`
	}
)

// JSON returns a map for programs, as one object.
func (m *Map) JSON() string {
	j := jsonMap{
		Entry: m.Entry, Complete: m.Incomplete == "", Incomplete: m.Incomplete, TookMS: m.Took.Milliseconds(),
		LeftOut: m.LeftOut, Nodes: []jsonNode{}, Connections: []jsonEdge{},
	}
	for _, n := range m.Nodes {
		j.Nodes = append(j.Nodes, jsonNode{
			Name: n.Name, State: n.State, Why: n.Why, Hidden: n.Hidden,
			OTP: n.Release, UptimeS: int64(n.Uptime.Seconds()), Processes: n.Processes,
		})
	}
	for _, e := range m.Edges {
		j.Connections = append(j.Connections, jsonEdge(e))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	_ = enc.Encode(j) // to memory; strings, numbers and booleans cannot fail
	return string(stat.SafeJSON(b.Bytes()))
}
