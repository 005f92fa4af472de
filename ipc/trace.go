package ipc

import (
	"context"
	"fmt"
	"log/slog"
)

var kindNames = map[Kind]string{
	KindHello: "hello", KindStart: "start", KindStartSpawner: "start_spawner", KindReady: "ready", KindFailed: "failed",
	KindStop: "stop", KindStopped: "stopped", KindLedger: "ledger", KindDrain: "drain", KindBeat: "beat", KindCounted: "counted",
	KindSpawner: "spawner", KindWantSpawner: "want_spawner", KindLink: "link", KindLost: "lost", KindAwaited: "awaited", KindLog: "log", KindLogs: "logs",
	KindSpawn: "spawn", KindSpawned: "spawned", KindChanged: "changed", KindSignalGroup: "signal_group",
	KindGroupSignalled: "group_signalled", KindSpawnInMemfd: "spawn_in_memfd", KindRotate: "rotate", KindRotated: "rotated",
	KindForget: "forget", KindRelease: "release", KindStartRelay: "start_relay",
	KindHost: "host", KindStanding: "standing",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Trace logs each message of a conversation in both directions, without its contents, if the logger
// is enabled for LevelTrace. The argument with names the process at the other end.
func Trace(c *Conn, log *slog.Logger, with string) {
	if !log.Enabled(context.Background(), LevelTrace) {
		return
	}
	c.passed = func(what string, k Kind, size, fds int) {
		log.Log(context.Background(), LevelTrace, what, "with", with, "kind", k.String(), "bytes", size, "descriptors", fds)
	}
}

// The texts of the log's lines.
const (
	messageSent = "message sent"
	messageCame = "message received"
)
