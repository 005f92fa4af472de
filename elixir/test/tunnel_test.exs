defmodule Erluv.TunnelTest do
  # A supervised ssh -N -L to a real sshd on the loopback, and nodes that are connected
  # through it.
  use Erluv.Case

  alias Erluv.Daemon

  setup do
    Process.flag(:trap_exit, true)

    dir =
      Path.join(
        System.tmp_dir!(),
        "erluv-sshd-#{System.unique_integer([:positive])}-#{System.pid()}"
      )

    File.mkdir!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    script = Path.expand("../../test/sshd", __DIR__)
    options = [:binary, :exit_status, line: 100, args: [dir]]
    sshd = Port.open({:spawn_executable, script}, options)
    assert_receive {^sshd, {:data, {:eol, line}}}, 120_000
    [port, user] = String.split(line)
    {:ok, dir: dir, port: port, user: user, local: free_port(), remote: free_port()}
  end

  # One that the kernel gives to no connection meanwhile: those are from 32768 on.
  defp free_port do
    port = 10000 + :rand.uniform(22000)

    case :gen_tcp.listen(port, []) do
      {:ok, socket} ->
        :ok = :gen_tcp.close(socket)
        port

      {:error, :eaddrinuse} ->
        free_port()
    end
  end

  # Arguments of Daemon.start_link/3.
  defp ssh(context, key \\ "key") do
    %{dir: dir, local: local, remote: remote} = context

    arguments =
      ["-F", "none", "-i", Path.join(dir, key), "-p", context.port, "-N"] ++
        ["-o", "UserKnownHostsFile=#{dir}/known_hosts", "-o", "StrictHostKeyChecking=yes"] ++
        ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"] ++
        ["-L", "127.0.0.1:#{local}:127.0.0.1:#{remote}", "#{context.user}@127.0.0.1"]

    options = [name: :tunnel, cd: "/", stderr_to_stdout: true, log_output: :info]
    ["ssh", arguments, options ++ [ready: {:tcp, local}, ready_timeout: 120_000]]
  end

  # What is sent back through the tunnel.
  defp echo(%{local: local, remote: remote}) do
    options = [:binary, ip: {127, 0, 0, 1}, active: false, reuseaddr: true]
    {:ok, listener} = :gen_tcp.listen(remote, options)
    {:ok, client} = :gen_tcp.connect({127, 0, 0, 1}, local, [:binary, active: false], 120_000)
    {:ok, server} = :gen_tcp.accept(listener, 120_000)
    :ok = :gen_tcp.send(client, "hello")
    {:ok, "hello"} = :gen_tcp.recv(server, 5, 120_000)
    Enum.each([client, server, listener], &:gen_tcp.close/1)
  end

  defp gone(os_pid, local) do
    until(fn -> not alive?(os_pid) end)
    {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, local, [], 120_000)
  end

  test "nodes are connected through it, and it is stopped", context do
    %{local: local, remote: port} = context

    range =
      for key <- [~c"min", ~c"max"], do: [~c"-kernel", ~c"inet_dist_listen_" ++ key, ~c"#{port}"]

    {remote, node} = vm(:"remote_#{local}", ~c"behind.local", Enum.concat(range))
    {dialler, _} = vm(:dialler, ~c"127.0.0.1", [~c"-epmd_module", ~c"#{Erluv.ProxyEPMD}"])
    assert call(dialler, Node, :connect, [node]) == false

    [program, arguments, options] = ssh(context)
    {:ok, tunnel} = Daemon.start_link(program, arguments, options)
    assert Process.whereis(:tunnel) == tunnel
    os_pid = Daemon.os_pid(tunnel)
    assert call(dialler, Node, :connect, [node]) == true
    assert call(dialler, :erpc, :call, [node, :erlang, :node, []]) == node

    :ok = GenServer.stop(:tunnel)
    refute alive?(os_pid)
    gone(os_pid, local)
    until(fn -> call(dialler, Node, :list, [:connected]) == [] end)
    Enum.each([dialler, remote], &:peer.stop/1)
  end

  test "it ends with its supervisor, and with a crash of that", context do
    for reason <- [:shutdown, :kill] do
      {:ok, supervisor} = Supervisor.start_link([{Daemon, ssh(context)}], strategy: :one_for_one)
      os_pid = Daemon.os_pid(:tunnel)
      echo(context)
      Process.exit(supervisor, reason)
      assert_receive {:EXIT, ^supervisor, _}, 120_000
      gone(os_pid, context.local)
      until(fn -> Process.whereis(:tunnel) == nil end)
    end
  end

  test "it is started again when it breaks", context do
    {:ok, supervisor} = Supervisor.start_link([{Daemon, ssh(context)}], strategy: :one_for_one)
    {daemon, os_pid} = {Process.whereis(:tunnel), Daemon.os_pid(:tunnel)}
    ref = Process.monitor(daemon)
    {_, 0} = System.cmd("kill", ["-KILL", "#{os_pid}"])
    assert_receive {:DOWN, ^ref, _, _, :error_exit_status}, 120_000
    until(fn -> is_pid(Process.whereis(:tunnel)) end)
    # It answers once it is ready.
    assert is_integer(Daemon.os_pid(:tunnel))
    echo(context)
    :ok = Supervisor.stop(supervisor)
  end

  test "SIGKILL of the BEAM leaves no ssh", context do
    peer = peer()
    {:ok, _} = call(peer, Erluv.Case, :forever, [Daemon, :start_link, ssh(context)])
    os_pid = call(peer, Daemon, :os_pid, [:tunnel])
    assert alive?(os_pid)
    echo(context)
    kill_beam(peer)
    gone(os_pid, context.local)
  end

  # All of it but the installation, with this sshd.
  @cells "../../doc/tunnel.livemd"
         |> Path.expand(__DIR__)
         |> File.read!()
         |> String.split("```elixir\n")
         |> tl()
         |> Enum.map(&hd(String.split(&1, "```")))
         |> Enum.reject(&(&1 =~ "Mix.install" or &1 =~ "me@remote.example.com"))

  test "the notebook", context do
    ssh =
      ["-F", "none", "-i", Path.join(context.dir, "key"), "-p", context.port] ++
        ["-o", "UserKnownHostsFile=#{context.dir}/known_hosts", "-o", "BatchMode=yes"] ++
        ["-o", "IdentitiesOnly=yes", "#{context.user}@127.0.0.1"]

    {cells, [the_end]} = Enum.split(@cells, -1)
    assert length(cells) == 4
    bound = [ssh: ssh, remote_port: context.remote]

    bound =
      Enum.reduce(cells, bound, fn cell, bound -> elem(Code.eval_string(cell, bound), 1) end)

    assert {bound[:said], bound[:status]} == {bound[:target] <> "\n", 0}
    pids = for name <- [:tunnel, :remote], do: Daemon.os_pid(name)
    Code.eval_string(the_end, bound)
    for os_pid <- pids, do: refute(alive?(os_pid))
    # The node over there ends with its terminal.
    until(fn -> not connects?(context.remote) end)
  end

  defp connects?(port) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, _} -> false
    end
  end

  test "one that is not let in says why", context do
    [program, arguments, options] = ssh(context, "host")

    assert {:error, {:not_ready, {:exit_status, 255}, lines}} =
             Daemon.start_link(program, arguments, options)

    assert Enum.any?(lines, &(&1 =~ ~r/Permission denied/))
  end
end
