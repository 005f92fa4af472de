defmodule Erluv.Case do
  # What the tests share. At the end of each no program may be left, and no process that
  # was used to run one.
  use ExUnit.CaseTemplate

  import Bitwise

  @wait 120_000

  # PF_EXITING of linux/sched.h: it is no zombie yet, and runs no code of its own any more.
  @exiting 0x4

  using do
    quote do
      import Erluv.Case
      import ExUnit.CaptureIO
      import ExUnit.CaptureLog
    end
  end

  setup do
    on_exit(fn -> until(fn -> programs() == [] and runs() == [] end) end)
  end

  @doc "Waits until something holds of which no message tells."
  def until(fun), do: until(fun, System.monotonic_time(:millisecond) + @wait)

  defp until(fun, deadline) do
    cond do
      fun.() ->
        :ok

      System.monotonic_time(:millisecond) > deadline ->
        raise "too late: programs #{inspect(programs())}, runs #{inspect(runs())}"

      true ->
        receive do
        after
          10 -> until(fun, deadline)
        end
    end
  end

  @doc "The workers of an erluv."
  def workers(node \\ :erluv), do: for({worker, _} <- :erluv.workers(node), do: worker)

  @doc "All processes of the system that an erluv's spawner has below it, but those that end."
  def programs(node \\ :erluv) do
    spawner = :erluv.info(node, :spawner_os_pid)
    all = for dir <- Path.wildcard("/proc/[0-9]*"), stat = stat(dir), do: stat
    below([spawner], Enum.reject(all, fn {_, ends, _} -> ends end))
  end

  defp below(parents, all) do
    case for {pid, _, parent} <- all, parent in parents, do: pid do
      [] -> []
      children -> children ++ below(children, all)
    end
  end

  defp stat(dir) do
    with {:ok, text} <- File.read(dir <> "/stat") do
      fields = text |> String.split(")") |> List.last() |> String.split()
      [state, parent, _, _, _, _, flags | _] = fields
      ends = state == "Z" or (String.to_integer(flags) &&& @exiting) != 0
      {dir |> Path.basename() |> String.to_integer(), ends, String.to_integer(parent)}
    else
      {:error, _} -> nil
    end
  end

  @doc "Whether a process of the system is there, and does not end."
  def alive?(os_pid), do: match?({_, false, _}, stat("/proc/#{os_pid}"))

  @doc "The processes of the system with this command line."
  def running(command) do
    line = Enum.map_join(command, &(&1 <> "\0"))

    for path <- Path.wildcard("/proc/[0-9]*/cmdline"), File.read(path) == {:ok, line} do
      path |> Path.split() |> Enum.at(2) |> String.to_integer()
    end
  end

  @doc "The processes of this node that run a program for a stream or command."
  def runs do
    for pid <- Process.list(),
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        dictionary[:"$initial_call"] == {Erluv.Run, :init, 1},
        do: pid
  end

  @doc "What waits in the mailbox."
  def mailbox, do: self() |> Process.info(:messages) |> elem(1)

  @doc "A number that no other command line has, for sleep(1)."
  def unique_sleep, do: "10000#{System.pid()}.#{System.unique_integer([:positive])}"

  @doc "Another VM, which is driven over its standard input."
  def vm(name, host, args) do
    {:ok, peer, node} =
      :peer.start_link(%{
        name: name,
        host: host,
        longnames: true,
        connection: :standard_io,
        wait_boot: @wait,
        args:
          [~c"-start_epmd", ~c"false", ~c"-kernel", ~c"inet_dist_use_interface", ~c"{127,0,0,1}"] ++
            [~c"-kernel", ~c"logger_level", ~c"none"] ++
            args ++
            [~c"-setcookie", Atom.to_charlist(Node.get_cookie()), ~c"-pa" | :code.get_path()]
      })

    {peer, node}
  end

  @doc "Calls a function in another VM, which may be slow: peer itself waits for 5 seconds."
  def call(peer, module, function, args), do: :peer.call(peer, module, function, args, @wait)

  @doc "Another VM, in which the application runs with an erluv of its own."
  def peer do
    {peer, _node} = vm(:"peer_#{System.unique_integer([:positive])}", ~c"127.0.0.1", [])
    env = [executable: Application.fetch_env!(:erluv, :executable), nodes: [[]]]
    :ok = call(peer, Application, :put_all_env, [[erluv: env]])
    {:ok, _} = call(peer, Application, :ensure_all_started, [:erluv_ex])
    peer
  end

  @doc "Ends a VM as nothing can be handled."
  def kill_beam(peer) do
    os_pid = call(peer, System, :pid, [])
    Process.unlink(peer)
    ref = Process.monitor(peer)
    {_, 0} = System.cmd("kill", ["-KILL", os_pid])
    assert_receive {:DOWN, ^ref, _, _, _}, @wait
  end

  @doc "Runs a function in another VM, in a process that goes on."
  def forever(module, function, args) do
    parent = self()

    spawn(fn ->
      send(parent, {:forever, apply(module, function, args)})
      Process.sleep(:infinity)
    end)

    receive do
      {:forever, result} -> result
    end
  end
end
