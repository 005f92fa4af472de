defmodule Erluv.FleetTest do
  # One host, which serves this node, of a fleet that lives as long as the tests.
  use Erluv.Case, async: false

  setup_all do
    start_supervised!({Erluv.Fleet, refresh: :infinity})
    name = "fleet#{System.unique_integer([:positive])}"
    [erluv] = Application.fetch_env!(:erluv, :executable)
    cookie = Node.get_cookie() |> Atom.to_charlist()
    parent = self()

    args =
      ~w(--config none --node #{node()} --controller erluv_fleet --name #{name}) ++
        ["--meta", "core;group=g1"]

    owner =
      spawn_link(fn ->
        options = [args: args, env: [{~c"ERLUV_COOKIE", cookie}]]
        port = Port.open({:spawn_executable, erluv}, [:stderr_to_stdout, :exit_status | options])
        send(parent, {:os_pid, Port.info(port, :os_pid)})
        hold(port)
      end)

    assert_receive {:os_pid, {:os_pid, os_pid}}, 120_000

    on_exit(fn ->
      send(owner, :close)
      until(fn -> not alive?(os_pid) end)
    end)

    until(fn -> Erluv.Fleet.nodes() != [] end)
    [host: :"#{name}@127.0.0.1"]
  end

  defp hold(port) do
    receive do
      :close -> Port.close(port)
      {^port, _} -> hold(port)
    end
  end

  setup do
    on_exit(fn -> until(fn -> match?([%{workers: 0, free: 10_000}], Erluv.Fleet.nodes()) end) end)
  end

  doctest Erluv.Fleet, except: [:moduledoc]

  test "a host is chosen by its labels, and counted", %{host: host} do
    assert [%{node: ^host, meta: [{"core", [{"group", "g1"}]}]}] = Erluv.Fleet.nodes()
    assert {:ok, ^host} = Erluv.Fleet.place(%{meta: %{{:core, :group} => "g1"}}, :random)
    assert [%{free: 9_999}] = Erluv.Fleet.nodes()
    {:ok, worker} = Erluv.Fleet.spawn(host, ["sleep", "600"], link: true)
    until(fn -> match?([%{workers: 1, free: 9_999}], Erluv.Fleet.nodes()) end)
    assert {:ok, {:signal, :sigterm}} = :erluv.stop(worker)
    assert {:error, {:none, %{status: :stopped}}} = Erluv.Fleet.place(%{status: :stopped})
  end

  test "the end of a program is an event, with its reason", %{host: host} do
    :ok = Erluv.Fleet.subscribe()
    {:ok, worker} = Erluv.Fleet.spawn(%{}, ["sleep", "600"])
    assert_receive {:erluv_fleet, {:task_started, ^host, ^worker, _}}, 120_000
    Process.exit(worker, :enough)
    assert_receive {:erluv_fleet, {:task_stopped, ^host, ^worker, :enough}}, 120_000
  end
end
