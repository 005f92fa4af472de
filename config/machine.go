package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Machine has the facts that settings depend on besides their sources. Tests supply their own.
// [ThisMachine] returns the real one.
type Machine struct {
	UID  int    // real user ID; 0: root has started erluv
	GID  int    // real group ID
	Home string // "" if the user has none

	// Invoker is the user who has started erluv as root with sudo or doas, or else UID. A cookie
	// file may belong to this user too, because erluv then serves this user's node.
	Invoker int

	// Hostname is os.Hostname. Canonical returns a host's name with its domain.
	Hostname  func() (string, error)
	Canonical func(host string) (string, error)
}

// ThisMachine returns the machine and the user of this process. The home directory is that of the
// user database, so under sudo it is root's own. It is $HOME only for a user who is not in the
// database.
func ThisMachine() Machine {
	m := Machine{UID: os.Getuid(), GID: os.Getgid(), Hostname: os.Hostname, Canonical: canonical}
	m.Invoker = invoker(m.UID)
	if u, err := user.LookupId(strconv.Itoa(m.UID)); err == nil && filepath.IsAbs(u.HomeDir) {
		m.Home = u.HomeDir
	} else if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		m.Home = home
	}
	return m
}

// invoker uses the variables in which sudo and doas name their caller.
func invoker(uid int) int {
	if uid != 0 {
		return uid
	}
	if id, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil {
		return id
	}
	if u, err := user.Lookup(os.Getenv("DOAS_USER")); err == nil {
		if id, err := strconv.Atoi(u.Uid); err == nil {
			return id
		}
	}
	return uid
}

// owners are the users who may own a cookie file.
func (m Machine) owners() []int {
	if m.Invoker == m.UID {
		return []int{m.UID}
	}
	return []int{m.UID, m.Invoker}
}

var errNoHome = errors.New("begins with ~, and this user has no home directory")

// absolute resolves ~/ against the home directory, and any other path against the current one.
func (m Machine) absolute(path string) (string, error) {
	switch {
	case path == "":
		return "", errEmpty
	case path != "~" && !strings.HasPrefix(path, "~/"):
		return filepath.Abs(path)
	case m.Home == "":
		return "", errNoHome
	}
	return filepath.Join(m.Home, path[1:]), nil
}

// ownHost returns the host part of the own node name, in the form of the node's. Nodes use long
// names or short ones, and never mix them.
func (m Machine) ownHost(nodeHost string) (string, error) {
	hostname, err := m.Hostname()
	if err != nil {
		return "", fmt.Errorf("cannot ask for the name of this machine: %w", err)
	}
	short, _, _ := strings.Cut(hostname, ".")
	if isThisMachine(nodeHost, hostname, short) {
		return nodeHost, nil
	}
	if ip := net.ParseIP(strings.Trim(nodeHost, "[]")); ip != nil {
		return addressTowards(ip)
	}
	if !strings.Contains(nodeHost, ".") {
		return short, checkHost(short)
	}
	if strings.Contains(hostname, ".") {
		return hostname, checkHost(hostname)
	}
	long, err := m.Canonical(hostname)
	if err != nil {
		return "", err
	}
	return long, checkHost(long)
}

// isThisMachine compares only names. It makes no look-up, which could hang.
func isThisMachine(nodeHost, hostname, short string) bool {
	switch strings.ToLower(nodeHost) {
	case "localhost", strings.ToLower(hostname), strings.ToLower(short):
		return true
	}
	ip := net.ParseIP(strings.Trim(nodeHost, "[]"))
	if ip == nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs() // without them the address counts as another machine's
	for _, addr := range addrs {
		if own, ok := addr.(*net.IPNet); ok && own.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// addressTowards returns this machine's address on the way to ip. Connecting a datagram socket
// queries the routing table and sends nothing.
func addressTowards(ip net.IP) (string, error) {
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: ip, Port: 4369})
	if err != nil {
		return "", fmt.Errorf("no own address on the way to the node: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

// canonical asks /etc/hosts and the name servers for the name with its domain, as `hostname -f`
// does. It takes at most two seconds. erluv should be up in 50 ms, and a machine without a domain
// should not wait for long.
func canonical(host string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	name, err := net.DefaultResolver.LookupCNAME(ctx, host)
	name = strings.TrimSuffix(name, ".")
	if err != nil || !strings.Contains(name, ".") {
		return "", fmt.Errorf("this machine (%s) has no name with a domain, as long node names have", host)
	}
	return name, nil
}
