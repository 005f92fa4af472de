package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// elixirScript is what an Elixir user would write with only the standard library.
const elixirScript = `
node = :"from_elixir@127.0.0.1"
:ok = :net_kernel.monitor_nodes(true, %{node_type: :hidden})
IO.puts("ready")
receive do
  {:nodeup, ^node, _} -> :ok
after
  15_000 -> raise "not up"
end

{:ok, w} = GenServer.call({:erluv, node}, {:spawn, ["cat"], %{env: %{"A" => "b"}}})
:ok = GenServer.call(w, {:write, "hällo\n"})
:ok = GenServer.call(w, {:close, :stdin})
receive do {^w, {:stdout, text}} -> IO.write(text) end
receive do {^w, {:exit_status, status}} -> IO.inspect(status) end

{:ok, result} = GenServer.call({:erluv, node}, {:run, "echo $A; exit 3", [env: [{"A", "from the shell"}]]})
IO.inspect(Enum.sort(result))

IO.inspect(GenServer.call({:erluv, node}, {:spawn, ["/no/such/program"], %{}}))
IO.inspect({Node.list(), Node.list(:hidden) == [node], Node.ping(node)})

Process.flag(:trap_exit, true)
child = %{
  id: :sleeper,
  start: {GenServer, :call, [{:erluv, node}, {:spawn, ["sleep", "1000"], %{owner: :none}}]}
}
{:ok, sup} = Supervisor.start_link([child], strategy: :one_for_one)
[{:sleeper, pid, :worker, _}] = Supervisor.which_children(sup)
Process.monitor(pid)
:ok = Supervisor.stop(sup)
receive do {:DOWN, _, :process, ^pid, reason} -> IO.inspect(reason) end

for reason <- [:normal, {:shutdown, :x}] do
  {:ok, w} = GenServer.call({:erluv, node}, {:spawn, ["cat"], %{}})
  %{cmd: ["cat"], state: :running} = :sys.get_state(w)
  {:error, {:bad_request, _}} = Agent.get(w, & &1)
  IO.inspect({GenServer.stop(w, reason, 10_000), receive do {:EXIT, ^w, why} -> why end})
end
`

const elixirSays = `ready
hällo
0
[exit: {:exit_status, 3}, stderr: "", stdout: "from the shell\n"]
{:error, :enoent}
{[], true, :pong}
:shutdown
{:ok, :normal}
{:ok, {:shutdown, :x}}
`

func TestElixir(t *testing.T) {
	elixir, err := exec.LookPath("elixir")
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, nodeOptions{}) // for its home; the target is Elixir's
	script := filepath.Join(n.home, "script.exs")
	if err := os.WriteFile(script, []byte(elixirScript), 0o644); err != nil {
		t.Fatal(err)
	}
	var out buffer
	cmd := exec.Command(elixir, "--name", "elixir@127.0.0.1", "--erl", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}", script)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = n.env, n.home, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	wait := func() {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("elixir: %v", err)
			}
		case <-time.After(startTime):
			_ = cmd.Process.Kill()
			t.Errorf("elixir does not end: %v", <-ended)
		}
	}
	if !until(startTime, func() bool { return strings.Contains(out.String(), "ready\n") }) {
		wait()
		t.Fatalf("elixir is not ready:\n%s", out.String())
	}
	e, err := n.run(nil, "--node=elixir@127.0.0.1", "--name=from_elixir", "--host=127.0.0.1", "--reconnect=exit", n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	wait()
	if got := out.String(); got != elixirSays {
		t.Errorf("got:\n%s\nwant:\n%s", got, elixirSays)
	}
	e.exits(t, endTime) // the connection has ended
	e.report(t)
}
