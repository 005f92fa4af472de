package ipc

import (
	"context"
	"fmt"
	"log/slog"
)

var kindNames = map[Kind]string{
	KindHello: "hello", KindStart: "start", KindStartSpawner: "start_spawner", KindReady: "ready", KindFailed: "failed",
	KindStop: "stop", KindStopped: "stopped", KindLedger: "ledger", KindDrain: "drain", KindBeat: "beat",
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

// Trace has each message of a conversation logged, in both directions and without what it
// says, if the logger wants that. With is who has the other end.
func Trace(c *Conn, log *slog.Logger, with string) {
	if !log.Enabled(context.Background(), LevelTrace) {
		return
	}
	c.passed = func(what string, k Kind, size, fds int) {
		log.Log(context.Background(), LevelTrace, what, "with", with, "kind", k.String(), "bytes", size, "descriptors", fds)
	}
}

// What is logged of a message.
const (
	messageSent = "message sent"
	messageCame = "message received"
)
