// Package crew has the roles as processes: it starts child and spawner by way of a stage that
// drops their privileges (stage.go), looks at what they have become, gives them what they
// serve with, and watches them until all have been reaped (watch.go). It starts another
// spawner in place of one that was killed (replace.go) and those of other users (users.go),
// ends what they leave behind (orphans.go), and finds those that hang (pulse.go).
//
// It knows neither the configuration, of which it is told in Settings, nor the connection
// to a node, which is whatever Connection it is handed. The life of the crews, from one to
// the next, is a machine (life.go), which mainproc runs.
package crew
